from __future__ import annotations

import pytest

from actors.errors import CannotConnect
from gateway.cli.remedies import sentence


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (CannotConnect("http://a:46357", "refused"), "is a node listening there (callboard start)"),
        (CannotConnect("http://[::1]:46357/", "refused"), "is a node listening there"),
        (CannotConnect("unix:///run/node", "refused"), "is a node listening there"),
        (CannotConnect("http://a", "refused"), "it names no port, and a node listens on 46357"),
        (CannotConnect("http://[::1]", "refused"), "it names no port"),
        (
            CannotConnect("https://a:1", "[SSL: CERTIFICATE_VERIFY_FAILED] unknown"),
            "--ca FILE says who signs",
        ),
        (
            CannotConnect(
                "https://a:1", "https://a:1 refused the call: UNAVAILABLE: the peer closed the connection"
            ),
            "a node that demands client certificates ends connections so",
        ),
        (CannotConnect("http://a:1", "UNAUTHENTICATED"), "the node wants a user and a password"),
    ],
)
def test_a_refused_connection_comes_with_where_to_look(error: CannotConnect, remedy: str) -> None:
    assert sentence(error).startswith(f"{error}; {remedy}")


def test_a_limit_of_the_node_says_all_there_is_to_say() -> None:
    error = CannotConnect("http://a:1", "http://a:1 refused the call: RESOURCE_EXHAUSTED: this node is full")
    assert sentence(error) == str(error)


def test_an_error_of_a_file_begins_with_its_name() -> None:
    assert sentence(FileNotFoundError(2, "No such file or directory", "a.yaml")) == (
        "a.yaml: No such file or directory"
    )
    assert sentence(OSError(28, "No space left on device")) == "No space left on device"
    assert sentence(OSError("of our own")) == "of our own"
