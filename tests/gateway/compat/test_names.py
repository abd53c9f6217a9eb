"""The vocabulary of 0.3.6 to 0.6."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateway import ConfigError, compat
from gateway.api.session_config import SessionConfiguration, SessionType
from gateway.compat import PyName, PySessionConfiguration, PySessionDirection, PySessionType

TOPIC = PyName("org", "default", "topic")
FireAndForget, Streaming = PySessionConfiguration.FireAndForget, PySessionConfiguration.Streaming


@pytest.mark.parametrize(
    "name",
    [
        "Algorithm",
        "Key",
        "KeyData",
        "KeyFormat",
        "MessageContext",
        "Session",
        "SessionContext",
    ],
)
def test_a_name_with_py_is_the_name_without(name: str) -> None:
    assert getattr(compat, f"Py{name}") is getattr(compat, name)


def test_identities_are_those_of_today_and_need_no_bound_key() -> None:
    """As those versions took a foreign token for encrypted sessions."""
    key = compat.Key(compat.Algorithm.HS256, compat.KeyFormat.Pem, compat.KeyData.Content(32 * "k"))
    verifier = compat.PyIdentityVerifier.Jwt(public_key=key, audience=["a"])
    assert isinstance(verifier, compat.PyIdentityVerifier)
    assert isinstance(verifier, compat.IdentityVerifier)
    assert verifier.mls_key == "unbound"
    assert compat.PyIdentityProvider.SharedSecret is compat.IdentityProvider.SharedSecret


def test_the_service_is_the_app() -> None:
    assert compat.PyService is compat.App


def test_names_can_be_given_an_id() -> None:
    name = PyName("a", "b", "c")
    name.set_id(7)
    assert name.id == 7
    assert name == compat.Name("a", "b", "c", 7)


def test_session_types_have_both_names() -> None:
    assert PySessionType.FIRE_AND_FORGET is PySessionType.PointToPoint is SessionType.PointToPoint
    assert PySessionType.STREAMING is PySessionType.Group is SessionType.Group


def test_fire_and_forget() -> None:
    config = FireAndForget(timedelta(seconds=2), 5, True, True)
    assert (config.timeout, config.max_retries, config.sticky, config.mls_enabled) == (
        timedelta(seconds=2),
        5,
        True,
        True,
    )
    assert config.session_type is PySessionType.FIRE_AND_FORGET
    assert isinstance(config, SessionConfiguration.PointToPoint)
    assert FireAndForget() == FireAndForget()


def test_streaming() -> None:
    config = Streaming(PySessionDirection.BIDIRECTIONAL, TOPIC, True, 5, timedelta(seconds=2))
    assert (config.topic, config.moderator, config.max_retries) == (TOPIC, True, 5)
    assert config.session_direction is PySessionDirection.BIDIRECTIONAL
    assert config.session_type is PySessionType.STREAMING
    assert config.reliable
    config.check()


def test_streaming_without_retries_is_best_effort() -> None:
    config = Streaming(PySessionDirection.BIDIRECTIONAL, topic=TOPIC, moderator=True)
    assert (config.timeout, config.max_retries) == (timedelta(seconds=1), 0)
    assert not config.reliable
    assert config.record().interval is None


def test_streaming_configurations_are_compared_by_all_their_values() -> None:
    def make(direction: PySessionDirection, moderator: bool = False) -> object:
        return Streaming(direction, TOPIC, moderator, 12345)

    assert make(PySessionDirection.SENDER) == make(PySessionDirection.SENDER)
    assert hash(make(PySessionDirection.SENDER)) == hash(make(PySessionDirection.SENDER))
    assert make(PySessionDirection.SENDER) != make(PySessionDirection.RECEIVER)
    assert make(PySessionDirection.SENDER) != make(PySessionDirection.SENDER, True)
    assert make(PySessionDirection.SENDER) != SessionConfiguration.Group(1.0, 12345)


def test_streaming_without_moderator_names_the_way_out() -> None:
    with pytest.raises(ConfigError, match="moderator=True"):
        Streaming(PySessionDirection.SENDER, TOPIC).check()


def test_configurations_of_0_6() -> None:
    one = PySessionConfiguration.PointToPoint(TOPIC, timedelta(seconds=1), 5, True, {"a": "b"})
    assert (one.destination, one.timeout, one.max_retries, one.mls_enabled, one.metadata) == (
        TOPIC,
        timedelta(seconds=1),
        5,
        True,
        {"a": "b"},
    )
    many = PySessionConfiguration.Group(TOPIC, 5, timedelta(seconds=1), False)
    assert (many.destination, many.timeout, many.max_retries) == (TOPIC, timedelta(seconds=1), 5)
    assert PySessionConfiguration.PointToPoint(peer_name=TOPIC).destination == TOPIC
    assert PySessionConfiguration.Group(channel_name=TOPIC, max_retries=1).destination == TOPIC
