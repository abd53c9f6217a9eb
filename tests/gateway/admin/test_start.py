"""`callboard start`: its socket for commands is there, drains it, and is gone with it."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from gateway.admin.client import AdminClient
from gateway.admin.sockets import listening_socket, local_sockets, made_directory, run_directory, socket_path
from tests.gateway.cli.processes import running

LISTEN = ("start", "--listen", "127.0.0.1:0", "--insecure")


@pytest.fixture
def directory() -> Path:
    return Path(tempfile.mkdtemp(dir=os.environ["CALLBOARD_RUN"]))


def test_a_node_is_found_by_its_id_and_ends_when_told(directory: Path) -> None:
    with running(*LISTEN, "--node-id", "east/1", CALLBOARD_RUN=str(directory)) as node:
        node.until(r"listening on 127\.0\.0\.1:\d+")
        path = directory / "east-1.sock"
        # It says that it listens when the socket is there.
        assert local_sockets(directory) == [path]
        with AdminClient(path) as admin:
            assert admin.get("/node")["state"] == "serving"
            admin.post("/drain")
        assert node.end() == 0
    assert list(directory.iterdir()) == []


def test_a_node_without_a_place_for_its_socket_says_so_and_runs(directory: Path) -> None:
    directory.chmod(0o755)
    with running(*LISTEN, CALLBOARD_RUN=str(directory)) as node:
        node.until("listening on ")
        said = node.until("no socket for commands.*").group()
        assert "open to others" in said
        node.process.terminate()
        assert node.end() == 0


def test_what_a_dead_node_left_is_replaced_and_not_shown(directory: Path) -> None:
    path = socket_path(directory, "east")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert local_sockets(directory) == []
    with listening_socket(path):
        assert local_sockets(directory) == [path]
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(OSError, match="another node answers"):
            listening_socket(path)


def test_where_sockets_are(directory: Path) -> None:
    assert run_directory({"CALLBOARD_RUN": "/a", "XDG_RUNTIME_DIR": "/b"}) == Path("/a")
    assert run_directory({"XDG_RUNTIME_DIR": "/b"}) == Path("/b/callboard")
    assert run_directory({}) == Path(f"/tmp/callboard-{os.getuid()}")
    assert socket_path(directory, "../../x y").parent == directory
    with pytest.raises(OSError, match="too long"):
        socket_path(directory, "x" * 100)
    link = directory / "link"
    link.symlink_to("/tmp")
    with pytest.raises(PermissionError):
        made_directory(link)
