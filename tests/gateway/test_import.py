"""What `import gateway` costs a program, and what is in its way: each in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import gateway
from identity import spiffe
from tests.exports import declared_for_types

ROOT = Path(__file__).resolve().parents[2]

SECONDS, MEBIBYTES = 0.25, 40
"""Of processor time, and resident at the most: bare Python counts in."""

MEASURE = """
import json, re, sys, time
started = time.process_time()
{statement}
took = time.process_time() - started
# Not what getrusage says: that counts what this process was before it became an interpreter.
linux = sys.platform == "linux"
peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()) if linux else None
print(json.dumps([took, int(peak[1]) / 1024 if peak else 0, sorted(sys.modules)]))
"""

LOADED = """
import json, sys
from gateway.cli import main
try:
    main([{option!r}])
finally:
    print(json.dumps(sorted(sys.modules)))
"""

ON_USE = {
    "aiohttp",
    "cryptography",
    "google",
    "grpc",
    "httpx",
    "jwt",
    "opentelemetry",
    "prometheus_client",
    "rich",
    "spiffe",
    "thespian",
    "yaml",
}
"""Of other people's packages, what a program pays for that uses it."""


def python(program: str, folder: Path, *, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, with the files there before everything installed."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def measured(statement: str, folder: Path) -> tuple[float, float, list[str]]:
    done = python(MEASURE.format(statement=statement), folder)
    assert done.returncode == 0, done.stderr
    seconds, mebibytes, modules = json.loads(done.stdout)
    return seconds, mebibytes, modules


def test_a_program_that_imports_us_starts_at_once(tmp_path: Path) -> None:
    # The first run may have to compile; the least of a few is what it costs on a machine with other work.
    runs = [measured("import gateway", tmp_path) for _ in range(3)]
    _, mebibytes, modules = runs[-1]
    assert not ON_USE & set(modules)
    assert not [name for name in modules if name.startswith(("identity.spiffe", "identity.cloud"))]
    assert mebibytes < MEBIBYTES
    assert min(seconds for seconds, _, _ in runs) < SECONDS


@pytest.mark.parametrize("name", ["Slim", "IdentityProvider", "DataPlane"])
def test_what_an_application_uses_needs_no_grpc(tmp_path: Path, name: str) -> None:
    """The gRPC library alone is 16 MiB: whoever configures it pays for it."""
    _, _, modules = measured(f"from gateway import {name}", tmp_path)
    unwanted = {"grpc", "httpx", "jwt", "opentelemetry", "rich", "spiffe", "yaml"}
    assert not unwanted & set(modules)
    assert not [module for module in modules if module.startswith("identity.cloud")]


@pytest.mark.parametrize(
    "call",
    [
        'PointToPoint(peer_name="org/demo/bob")',
        "Group(topic=name)",
        "Group(channel_name=name)",
        "Group(name)",
    ],
)
def test_an_older_spelling_is_read_by_whoever_imports_this_package_alone(tmp_path: Path, call: str) -> None:
    program = (
        "from gateway import Name, SessionConfiguration\n"
        'name = Name("org", "demo", "bob")\n'
        f"print(SessionConfiguration.{call}.destination)"
    )
    done = python(f"import warnings; warnings.simplefilter('always')\n{program}", tmp_path)
    assert done.stdout == "org/demo/bob/ffffffffffffffff\n", done.stderr
    assert "DeprecationWarning" in done.stderr


@pytest.mark.parametrize("command", ["status", "explain", "token", "up"])
def test_a_command_that_needs_no_node_imports_none(tmp_path: Path, command: str) -> None:
    _, _, modules = measured(f"from gateway.cli import parser; parser({command!r})", tmp_path)
    unwanted = {
        "actors.app.actor",
        "aiohttp",
        "gateway.api.slim",
        "gateway.node.node",
        "grpc",
        "identity.mls",
    }
    assert f"gateway.cli.{command}" in modules
    assert not unwanted & set(modules)


def test_a_node_without_controllers_needs_no_grpc(tmp_path: Path) -> None:
    _, _, modules = measured("from gateway.cli import parser; parser('start')", tmp_path)
    assert "gateway.node.node" in modules
    assert not {"gateway.node.controlled", "grpc"} & set(modules)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_what_no_command_is_run_for_imports_none(tmp_path: Path, option: str) -> None:
    done = python(LOADED.format(option=option), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("usage: ", "callboard "))
    modules = json.loads(done.stdout.splitlines()[-1])
    ours = {name for name in modules if name.startswith("gateway.cli.")}
    assert ours == {"gateway.cli.commands", "gateway.cli.parsing"}
    assert not [name for name in modules if name.startswith(("actors.", "cryptography", "gateway.config"))]


@pytest.mark.parametrize("package", [gateway, spiffe], ids=["gateway", "spiffe"])
def test_a_name_has_one_home(package: ModuleType) -> None:
    """What the type checker reads and what is imported on use are the same."""
    homes = {module: set(names) for module, names in vars(package)["_HOMES"].items()}
    assert homes == declared_for_types(package)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gateway' has no attribute 'Slym'"):
        gateway.Slym  # noqa: B018
    assert set(gateway.__all__) <= set(dir(gateway))


@pytest.mark.parametrize("floor", ["actors", "identity"])
def test_a_file_in_the_way_is_named(tmp_path: Path, floor: str) -> None:
    file = tmp_path / f"{floor}.py"
    file.write_text("raise SystemExit('a program of its own')\n")
    done = python("import gateway", tmp_path, path=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.stderr.splitlines()[-1] == (
        f"gateway.neighbours.ForeignModule: {file} stands in the way of callboard's own package {floor!r}: "
        f"rename it, for instance to my_{floor}.py"
    )


def test_a_package_in_the_way_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    (site / "actors").mkdir(parents=True)
    (site / "actors" / "__init__.py").write_text("")
    information = site / "stagehands-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: stagehands\nVersion: 1.0\n")
    (information / "RECORD").write_text("actors/__init__.py,,\n")
    done = python("import gateway", tmp_path, path=f"{site}{os.pathsep}{ROOT}")
    assert done.stderr.splitlines()[-1].endswith(
        f"{site / 'actors'} stands in the way of callboard's own package 'actors': "
        "uninstall it (pip uninstall stagehands)"
    )


def test_a_package_that_overwrote_ours_is_noticed(tmp_path: Path) -> None:
    """Two packages in one site-packages: the later one's files stand at our place."""
    overwritten = "from gateway import neighbours as n; import actors; del actors.OWNER; n.check_neighbours()"
    done = python(overwritten, tmp_path)
    assert "stands in the way of callboard's own package 'actors'" in done.stderr.splitlines()[-1]
