"""Each identity example runs as written, against the stand-ins that it starts."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "identity"
HELPERS = ("conversation", "stand_ins")

SUBJECTS = {
    "shared_secret": "alice_",
    "signing_jwt": "alice",
    "static_jwt": "spiffe://example.org/demo",
    "jwks_issuer": "alice",
    "spire": "spiffe://example.org/alice",
    "cloud": "node@project.iam.gserviceaccount.com",
}


def test_there_is_an_example_for_each_provider() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SUBJECTS, *HELPERS}


@pytest.mark.parametrize("name", SUBJECTS)
async def test_the_example_runs(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    try:
        await runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="example")["main"]()
    finally:
        for helper in HELPERS:
            sys.modules.pop(helper, None)
    said = capsys.readouterr().out
    assert f"alice, proved to be {SUBJECTS[name]}" in said
    assert "bob is" in said
