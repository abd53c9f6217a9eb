"""`make dist`: wheel and sdist in dist/, built twice and the same to the byte, with what belongs in them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("actors/", "gateway/", "identity/")


def epoch() -> str:
    """The time that files in them have: that of the last commit, unless the environment says another."""
    said = os.environ.get("SOURCE_DATE_EPOCH")
    if said:
        return said
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "315532800"


def build(folder: Path, environ: dict[str, str]) -> dict[str, str]:
    """Build both into a folder. Returns the SHA-256 of each, by name."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def misplaced(folder: Path) -> list[str]:
    """What is in them and does not belong there: tests in the wheel, test data of others in the sdist."""
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    inside = zipfile.ZipFile(wheel).namelist()
    wrong = [each for each in inside if not each.startswith(PACKAGES) and ".dist-info/" not in each]
    with tarfile.open(sdist) as archive:
        names = [each.partition("/")[2] for each in archive.getnames()]
    return wrong + [each for each in names if each.startswith(("tests/vectors/", ".venv/", "dist/"))]


def main() -> int:
    target = ROOT / "dist"
    environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch()}
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        made, again = build(Path(first), environ), build(Path(second), environ)
        if made != again:
            print(f"two builds differ: {made} {again}", file=sys.stderr)
            return 1
        if wrong := misplaced(Path(first)):
            print(f"not to be delivered: {wrong}", file=sys.stderr)
            return 1
        target.mkdir(exist_ok=True)
        for name in made:
            (target / name).write_bytes((Path(first) / name).read_bytes())
    check = [sys.executable, "-m", "twine", "check", "--strict", *(str(target / name) for name in made)]
    if subprocess.run(check).returncode:
        return 1
    for name, digest in made.items():
        print(f"{digest}  dist/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
