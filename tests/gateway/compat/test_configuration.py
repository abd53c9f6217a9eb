"""Configurations that name whom the session is with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from actors.names import Name
from gateway import SessionConfiguration, compat
from gateway.compat.configuration import destination_of

PEER = Name("org", "default", "peer")
SECOND = timedelta(seconds=1)

SPELLINGS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("PointToPoint", (PEER, SECOND, 5, True, {"a": "b"}), {}),
    ("PointToPoint", (PEER, 5, SECOND, True, {"a": "b"}), {}),
    (
        "PointToPoint",
        (PEER,),
        {"timeout": SECOND, "max_retries": 5, "mls_enabled": True, "metadata": {"a": "b"}},
    ),
    *(
        (kind, (), {key: PEER, "timeout": 1.0, "max_retries": 5, "mls_enabled": True, "metadata": {"a": "b"}})
        for kind, key in (("PointToPoint", "peer_name"), ("Group", "channel_name"), ("Group", "topic"))
    ),
    ("Group", (PEER, 5, SECOND, True, {"a": "b"}), {}),
]


@pytest.mark.parametrize(("kind", "values", "more"), SPELLINGS)
def test_spellings_with_a_name(kind: str, values: tuple[Any, ...], more: dict[str, Any]) -> None:
    made = [getattr(compat.PySessionConfiguration, kind)(*values, **more)]
    made.append(getattr(compat.SessionConfiguration, kind)(*values, **more))
    with pytest.warns(DeprecationWarning, match="compat as slim_bindings"):
        made.append(getattr(SessionConfiguration, kind)(*values, **more))
    for config in made:
        assert destination_of(config) == PEER
        assert (config.timeout, config.max_retries, config.mls_enabled) == (SECOND, 5, True)
        assert config.metadata == {"a": "b"}
        assert isinstance(config, getattr(SessionConfiguration, kind))
        assert isinstance(config, compat.SessionConfiguration)
        assert config == made[0]


def test_without_a_name() -> None:
    config = SessionConfiguration.Group(1.0, 5)
    assert destination_of(config) is None
    assert isinstance(config, compat.SessionConfiguration)
    older = compat.SessionConfiguration.Group(1.0, 5)
    assert (destination_of(older), older) == (None, config)


def test_too_much_behind_the_name() -> None:
    with pytest.raises(TypeError, match="at most 4"):
        compat.SessionConfiguration.Group(PEER, 5, SECOND, True, None, 1)
