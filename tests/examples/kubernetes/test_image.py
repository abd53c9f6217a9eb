"""The images, the targets that make them, and the chart: what the published guide of identities starts."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import venv
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.config.document import Document
from gateway.config.node import NodeConfig
from tests.guides import block

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts/slim"
LINES = (ROOT / "Containerfile").read_text().splitlines()


def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Containerfile."""
    found: dict[str, list[str]] = {}
    for line in LINES:
        if line.startswith("FROM "):
            found[line.rpartition(" ")[2]] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


def test_the_images_copy_what_is_there_and_what_is_let_in() -> None:
    copied = [word for line in LINES if re.match(r"COPY (?!--from)", line) for word in line.split()[1:-1]]
    assert {"identity", "actors", "gateway", "examples"} <= set(copied)
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert set(copied) == set(allowed)
    assert not [name for name in copied if not (ROOT / name).exists()]


def test_the_node_is_not_root_and_the_examples_may_read_what_the_helper_writes() -> None:
    assert "USER 10001:10001" in stages()["node"]
    assert "USER 0:0" in stages()["examples"]


def test_the_node_has_no_installer_and_no_examples() -> None:
    found = stages()
    assert any("--without-pip" in line for line in found["build"])
    assert not [line for stage in ("installed", "node") for line in found[stage] if "COPY examples" in line]
    assert "COPY examples /app/examples" in found["examples"]


def test_the_targets_are_those_of_the_guide() -> None:
    text = (ROOT / "docker-bake.hcl").read_text()
    targets = dict(re.findall(r'^target "([^"]+)" \{(.*?)^\}', text, re.MULTILINE | re.DOTALL))
    assert list(targets) == ["slim", "bindings-examples"]
    for name, body in targets.items():
        assert f'"${{IMAGE_REPO}}/{name}:' in body
        assert re.search(r'target\s+= "(\w+)"', body)[1] in stages()
    printed = block("identity-management", "docker bake", "bash")
    assert set(re.findall(r"docker bake ([\w-]+)", printed)) == set(targets)


@functools.cache
def rendered() -> list[dict[str, Any]]:
    """The chart with the values of the printed `helm install`.

    It has plain substitutions, which are made here; anything else in its templates is an error.
    """
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    printed = block("identity-management", "helm install", "bash")
    for path, value in re.findall(r"--set ([\w.]+)=(\S+)", printed):
        *parents, last = path.split(".")
        place = functools.reduce(lambda found, key: found[key], parents, values)
        assert last in place
        place[last] = value
    release, namespace = "slim", re.search(r"-n (\w+)", printed)[1]
    scope = {"Release": {"Name": release, "Namespace": namespace}, "Values": values}

    def look_up(path: str) -> Any:
        return functools.reduce(lambda found, key: found[key], path.split("."), scope)

    def substitute(match: re.Match[str]) -> str:
        found = re.fullmatch(r"(toJson )?\.([\w.]+)", match[1].strip())
        assert found, f"no plain substitution: {match[0]}"
        value = look_up(found[2])
        return json.dumps(value) if found[1] else str(value)

    documents: list[dict[str, Any]] = []
    for template in sorted(CHART.glob("templates/*")):
        documents += yaml.safe_load_all(re.sub(r"\{\{(.*?)\}\}", substitute, template.read_text()))
    return documents


def of_kind(kind: str) -> dict[str, Any]:
    return next(document for document in rendered() if document["kind"] == kind)


def test_the_chart_fits_the_schemas() -> None:
    for document in rendered():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_node_is_reached_where_the_guide_says() -> None:
    service, deployment = of_kind("Service"), of_kind("Deployment")
    name = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert f"http://{name}:{service['spec']['ports'][0]['port']}" == "http://slim.slim:46357"
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    [container] = template["spec"]["containers"]
    assert container["image"] == "localhost:5001/slim:latest"


def test_the_node_of_the_chart_is_confined_and_probed_by_what_it_answers() -> None:
    spec = of_kind("Deployment")["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    [port] = [each["containerPort"] for each in container["ports"] if each["name"] == "slim"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": port}
    # kubelet has no TLS for it.
    assert "insecure: true" in of_kind("ConfigMap")["data"]["node.yaml"]
    written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert written == {each["value"] for each in container["env"] if each["name"] == "CALLBOARD_RUN"}


def test_what_guards_the_node_is_about_its_pods() -> None:
    labels = of_kind("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    policy = of_kind("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["ingress"] == [{"ports": [{"port": "slim", "protocol": "TCP"}]}]


def test_the_configuration_of_the_chart_is_one(tmp_path: Path) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(of_kind("ConfigMap")["data"]["node.yaml"])
    config = NodeConfig.read(Document.load(str(file)).value)
    assert [server.endpoint for server in config.servers] == ["0.0.0.0:46357"]


@pytest.mark.long
def test_the_commands_start_in_a_root_made_like_the_image(tmp_path: Path) -> None:
    """Its instructions, as far as they need no engine, in a folder that stands for the root."""
    opt = tmp_path / "opt/callboard"
    venv.create(opt, with_pip=True)
    install = ["install", "-q", "-c", ROOT / "requirements.lock", str(ROOT)]
    subprocess.run([opt / "bin/pip", *install], check=True, timeout=300)
    [links] = [line for line in LINES if "ln -s" in line]
    (tmp_path / "app/bin").mkdir(parents=True)
    for target in re.findall(r"/opt/callboard/bin/[\w-]+", links):
        (tmp_path / "app/bin" / Path(target).name).symlink_to(tmp_path / target.lstrip("/"))
    for command in ("callboard", "slim-bindings-examples", "unicast"):
        done = subprocess.run(
            [tmp_path / "app/bin" / command, "--help"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: {command}")
