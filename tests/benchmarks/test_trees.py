"""An older revision is checked out for a while, and what git refuses is said."""

from __future__ import annotations

import shutil

import pytest

from identity.errors import ConfigError
from tests.benchmarks.trees import HERE, base_of, checked_out, described, heading

requires_repository = pytest.mark.skipif(
    shutil.which("git") is None or not (HERE / ".git").exists(), reason="no git repository here"
)


@requires_repository
def test_a_revision_has_a_tree_of_its_own_until_the_block_ends() -> None:
    with checked_out("HEAD") as tree:
        assert (tree / "gateway" / "__init__.py").is_file()
        assert described(HERE).startswith(described(tree))
        assert f"imported from {tree}" in heading(HERE, tree)
    assert not tree.exists()


@requires_repository
def test_an_unknown_revision_is_refused() -> None:
    with pytest.raises(ConfigError, match="git worktree"), checked_out("no-such-revision"):
        pass


def test_without_a_base_nothing_is_checked_out() -> None:
    with base_of(None) as tree:
        assert tree is None
