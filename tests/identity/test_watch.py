"""Following files: every way to rotate one, and every way to break one for a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from identity.encoding import Malformed
from identity.errors import ConfigError
from identity.watch import WatchedFile


def parse(content: bytes) -> str:
    if not content.startswith(b"good"):
        raise Malformed("not good")
    return content.decode()


def watch(path: Path) -> WatchedFile[str]:
    return WatchedFile(str(path), parse, max_bytes=64, field="path")


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message} {extra}")
    yield lines
    logger.remove(sink)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(b"good 1")
    return file


def write_later(path: Path, content: bytes) -> None:
    """Write in place, with another time of change even when the file system's clock is coarse."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_write_in_place(path: Path) -> None:
    file = watch(path)
    assert file.get(0) == "good 1"
    write_later(path, b"good 2")
    assert file.get(1) == "good 2"
    assert file.generation == 1


def test_rename_over_the_file(path: Path, tmp_path: Path) -> None:
    file = watch(path)
    (tmp_path / "new").write_bytes(b"good 2")
    (tmp_path / "new").rename(path)
    assert file.get(0) == "good 2"


def test_swapped_symlink(tmp_path: Path) -> None:
    """As Kubernetes does it: the file is a link into a directory that is a link itself."""
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "token").write_bytes(b"good %d" % number)
    (tmp_path / "data").symlink_to("v1")
    (tmp_path / "token").symlink_to("data/token")
    file = watch(tmp_path / "token")
    assert file.get(0) == "good 1"
    (tmp_path / "data_tmp").symlink_to("v2")
    (tmp_path / "data_tmp").rename(tmp_path / "data")
    assert file.get(1) == "good 2"


def test_looks_at_most_once_a_second(path: Path) -> None:
    file = watch(path)
    file.get(10)
    write_later(path, b"good 2")
    assert file.get(10.9) == "good 1"
    assert file.get(11) == "good 2"


def test_clock_that_goes_back_does_not_stop_the_watch(path: Path) -> None:
    file = watch(path)
    file.get(10)
    write_later(path, b"good 2")
    assert file.get(5) == "good 2"


@pytest.mark.parametrize("content", [b"", b"go", b"good" + b"x" * 61])
def test_unusable_content_leaves_the_last_good_one(path: Path, content: bytes, warnings: list[str]) -> None:
    file = watch(path)
    write_later(path, content)
    for now in range(3):
        assert file.get(now) == "good 1"
    assert len(warnings) == 1
    write_later(path, b"good 2")
    assert file.get(3) == "good 2"


def test_missing_file_leaves_the_last_good_content(path: Path, warnings: list[str]) -> None:
    file = watch(path)
    path.unlink()
    assert file.get(0) == "good 1"
    assert "No such file" in warnings[0]
    path.write_bytes(b"good 2")
    assert file.get(1) == "good 2"


def test_pipe_or_directory_in_its_place_does_not_block(path: Path) -> None:
    file = watch(path)
    path.unlink()
    os.mkfifo(path)
    assert file.get(0) == "good 1"
    path.unlink()
    path.mkdir()
    assert file.get(1) == "good 1"


def test_unusable_from_the_start_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"bad")
    for name in ("bad", "missing"):
        with pytest.raises(ConfigError) as caught:
            watch(tmp_path / name)
        assert caught.value.field == "path"
        assert name in str(caught.value)
