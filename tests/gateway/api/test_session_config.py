"""SessionConfiguration in its several spellings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigError, SessionConfiguration, SessionType
from gateway.api.session_config import of_record

PointToPoint, Group = SessionConfiguration.PointToPoint, SessionConfiguration.Group
SECOND = timedelta(seconds=1)

configurations = st.builds(
    lambda kind, *values: kind(*values),
    st.sampled_from([PointToPoint, Group]),
    st.none() | st.integers(1, 10**6).map(lambda ms: timedelta(milliseconds=ms)),
    st.none() | st.integers(0, 2**32 - 1),
    st.booleans(),
    st.none() | st.dictionaries(st.text(), st.text()),
)


@given(configurations)
def test_the_form_of_actors_says_the_same(config: SessionConfiguration) -> None:
    back = of_record(config.record())
    assert back == config
    assert hash(back) == hash(config)
    assert back.session_type is config.session_type
    assert back.reliable is config.reliable


def test_plain() -> None:
    config = PointToPoint()
    assert (config.timeout, config.max_retries, config.mls_enabled, config.metadata) == (
        None,
        None,
        False,
        {},
    )
    assert config.session_type is SessionType.PointToPoint
    assert not config.reliable


@pytest.mark.parametrize(("timeout", "retries"), [(SECOND, None), (None, 3)])
def test_reliable_takes_both_values(timeout: timedelta | None, retries: int | None) -> None:
    assert not Group(timeout, retries).reliable
    assert Group(SECOND, 0).reliable


def test_seconds_are_durations_too() -> None:
    assert PointToPoint(1.5).timeout == timedelta(seconds=1.5)
    assert PointToPoint(1).timeout == SECOND


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": -SECOND}, "timeout"),
        ({"timeout": "1s"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 2**32}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"max_retries": 1.5}, "max_retries"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": "a"}, "metadata"),
    ],
)
def test_what_cannot_work_is_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field) as caught:
        PointToPoint(**values)
    assert caught.value.field == field


def test_the_base_is_not_made() -> None:
    with pytest.raises(TypeError, match="PointToPoint"):
        SessionConfiguration()
    with pytest.raises(TypeError, match="positional"):
        PointToPoint(None, None, False, None, 5)


def test_metadata_is_a_copy() -> None:
    given = {"a": "b"}
    config = PointToPoint(metadata=given)
    given["a"] = "c"
    config.metadata["a"] = "d"
    assert config.metadata == {"a": "b"}


def test_kinds_differ() -> None:
    assert PointToPoint() != Group()
    assert PointToPoint() != "PointToPoint"
    assert isinstance(Group(), SessionConfiguration)
    assert repr(Group(SECOND, 1)).startswith("SessionConfiguration.Group(timeout=")


def test_matching() -> None:
    match PointToPoint(SECOND, 5):
        case SessionConfiguration(timeout, retries):
            assert (timeout, retries) == (SECOND, 5)
