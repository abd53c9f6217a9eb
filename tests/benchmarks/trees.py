"""The checkouts that a measurement compares: this one, and an older revision in a work tree of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from identity.errors import ConfigError

HERE = Path(__file__).resolve().parents[2]
"""The checkout that these benchmarks belong to, as its files are now."""


def on_tree(tree: Path, module: str, *arguments: str) -> list[str]:
    """The command that runs `module` upon the floors of `tree`, with this Python and its packages."""
    return [sys.executable, "-P", str(Path(__file__).with_name("on_tree.py")), str(tree), module, *arguments]


def base_of(revision: str | None) -> AbstractContextManager[Path | None]:
    """`checked_out`, or nothing where no revision is asked for."""
    return nullcontext() if revision is None else checked_out(revision)


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """`revision` of this repository in a temporary work tree. Raises ConfigError when git has none such."""
    with tempfile.TemporaryDirectory(prefix="callboard-base-") as folder:
        tree = Path(folder).resolve() / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(tree), revision)
        try:
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def described(tree: Path) -> str:
    """The commit of a checkout, and whether its files differ from it."""
    commit = _git("rev-parse", "--short=12", "HEAD", tree=tree).strip()
    changed = _git("status", "--porcelain", "--untracked-files=no", tree=tree).strip()
    return f"{commit}, changed" if changed else commit


def heading(tree: Path, base: Path | None) -> str:
    """Which trees figures are of, and where their modules come from."""
    lines = [f"this tree: {described(tree)}, imported from {tree}"]
    if base is not None:
        lines.append(f"base:      {described(base)}, imported from {base}")
    return "\n".join(lines)


def _git(*arguments: str, tree: Path = HERE) -> str:
    command: Sequence[str] = ["git", "-C", str(tree), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as exc:
        raise ConfigError("git is not installed; the base is checked out with it", field="base") from exc
    if done.returncode:
        raise ConfigError(f"git {arguments[0]}: {done.stderr.strip()}", field="base")
    return done.stdout
