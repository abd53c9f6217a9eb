"""Client and server configuration as users write it (`api.md` 3.1)."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import MIB, Backoff, ClientConfig, Section, ServerConfig, duration
from identity.errors import ConfigError

NODE = {"endpoint": "http://127.0.0.1:46357"}
LISTENER = {"endpoint": "127.0.0.1:46357", "tls": {"insecure": True}}


def client(**options: Any) -> ClientConfig:
    return ClientConfig.read(NODE | options)


def server(**options: Any) -> ServerConfig:
    return ServerConfig.read(LISTENER | options)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30), ("500ms", 0.5), ("2h", 7200), ("1m30s", 90), ("1m 30s", 90), ("1.5s", 1.5),
        ("1d", 86400), (0, 0), (2.5, 2.5), (timedelta(minutes=1), 60),
    ],
)  # fmt: skip
def test_durations(value: object, seconds: float) -> None:
    assert duration(value, "x") == seconds


@pytest.mark.parametrize(
    "value",
    ["", "30", "s", "-1s", "1s!", "1x", -1, True, float("inf"), float("nan"), [], timedelta(seconds=-1)],
)
def test_no_durations(value: object) -> None:
    with pytest.raises(ConfigError, match='x: expected a duration such as "30s"'):
        duration(value, "x")


def test_defaults_of_a_client() -> None:
    made = client()
    assert made.target() == ("127.0.0.1", 46357)
    assert uuid.UUID(made.link_id).version == 4
    assert made.link_id != client().link_id
    assert (made.max_message_size, made.proxy) == (4 * MIB, None)
    assert (made.keepalive.ping, made.keepalive.timeout) == (20, 10)
    assert (made.transport, made.dial_timeout, made.backoff) == ("fast", 20.0, Backoff())


def test_defaults_of_a_server() -> None:
    made = server()
    assert made.target() == ("127.0.0.1", 46357)
    assert (made.max_frame_size, made.max_concurrent_streams, made.max_message_size) == (
        4 * MIB,
        100,
        4 * MIB,
    )
    keepalive = made.keepalive
    assert (keepalive.ping, keepalive.timeout, keepalive.max_connection_age) == (30, 20, 7200)
    assert (keepalive.max_connection_age_grace, keepalive.max_connection_idle) == (300, 3600)


def test_a_client_says_everything() -> None:
    link_id = str(uuid.uuid4())
    made = client(
        origin="node.example", server_name="cert.example", headers={"x-team": "a"}, connect_timeout="5s",
        request_timeout="500ms", keepalive={"tcp_keepalive": "1m", "http2_keepalive": "10s", "timeout": 3},
        proxy={"url": "http://u:p%40ss@proxy:3128", "headers": {"x": "y"}}, link_id=link_id,
        max_message_size=1000, compression="gzip", rate_limit="100/10", buffer_size=7, metadata={"a": [1]},
        backoff={"base": 50, "factor": 3, "max_delay": "2s", "max_attempts": 4, "jitter": False},
    )  # fmt: skip
    assert (made.origin, made.server_name, made.headers) == ("node.example", "cert.example", {"x-team": "a"})
    assert made.dial_timeout == 5.5
    assert (made.keepalive.ping, made.keepalive.timeout, made.keepalive.tcp) == (10, 3, 60)
    assert made.proxy is not None
    assert (made.proxy.host, made.proxy.port, made.proxy.username, made.proxy.password) == (
        "proxy", 3128, "u", "p@ss",
    )  # fmt: skip
    assert made.proxy.url() == "http://u:p%40ss@proxy:3128"
    assert made.backoff == Backoff(0.05, 3.0, 2.0, 4, jitter=False)
    assert (made.link_id, made.max_message_size, made.metadata) == (link_id, 1000, {"a": [1]})


def test_passwords_are_not_shown() -> None:
    made = client(
        auth={"type": "basic", "username": "u", "password": "hidden"},
        headers={"authorization": "hidden"},
        proxy={"url": "http://proxy", "username": "u", "password": "hidden", "headers": {"x": "hidden"}},
    )
    assert "hidden" not in repr(made)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"endpont": "x"}, 'unknown key "endpont"; did you mean "endpoint"?'),
        ({"tls": {"insecur": True}}, 'unknown key "tls.insecur"; did you mean "insecure"?'),
        ({"keepalive": {"http2_keep_alive": 1}}, 'unknown key "keepalive.http2_keep_alive"; did you mean'),
        ({"backoff": {"interval": 1, "base": 3}}, 'unknown key "backoff.base"'),
        ({"zzz": 1}, 'unknown key "zzz"; known: alternatives, announce, auth, backoff'),
        ({"endpoint": None}, "endpoint: required, such as http://127.0.0.1:46357"),
        ({"endpoint": 5}, "endpoint: expected a text, got a number, which is a text in quotes only"),
        ({"endpoint": "ftp://host:1"}, "endpoint: expected http(s)://HOST:PORT or unix:///PATH"),
        ({"endpoint": "http://host:port"}, "endpoint: expected HOST:PORT with a port up to 65535"),
        ({"endpoint": "http://[::1"}, "endpoint: expected HOST:PORT with a port up to 65535"),
        ({"endpoint": "http://::1:46357"}, "endpoint: an IPv6 address stands in brackets, such as [::1]:"),
        ({"endpoint": "http://${HOST}:1"}, "endpoint: ${env:NAME} and ${file:PATH} stand for a whole value"),
        ({"endpoint": "http://${env:HOST}:1"}, "endpoint: ${env:NAME} and ${file:PATH} stand for a whole"),
        ({"endpoint": "http://host:99999"}, "endpoint: expected HOST:PORT with a port up to 65535"),
        ({"endpoint": "unix://"}, "endpoint: expected"),
        ({"connect_timeout": "soon"}, 'connect_timeout: expected a duration such as "30s" or "500ms", got'),
        ({"max_message_size": 0}, "max_message_size: at least 1, got 0"),
        ({"max_message_size": True}, "max_message_size: expected a whole number, got true"),
        ({"headers": {"x": 1}}, "headers: expected texts of one line by their names"),
        ({"headers": {"x": "a\r\nb"}}, "headers: expected texts of one line by their names"),
        ({"headers": "x"}, "headers: expected a section, got the text 'x'"),
        ({"backoff": {"type": "random"}}, "backoff.type: one of exponential, fixed_interval, fixed, got"),
        ({"backoff": {"factor": 0.5}}, "backoff.factor: from 1 to 100, got 0.5"),
        ({"backoff": {"base": -1}}, "backoff.base: expected a duration"),
        ({"backoff": {"max_attempts": -1}}, "backoff.max_attempts: at least 0, got -1"),
        ({"link_id": str(uuid.uuid1())}, "link_id: expected a UUID version 4, got"),
        ({"link_id": "x"}, "link_id: expected a UUID version 4, got 'x'"),
        ({"transport": "carrier pigeon"}, "transport: one of fast, grpc, got 'carrier pigeon'"),
        ({"proxy": {"url": "socks5://proxy"}}, "proxy.url: expected http://HOST:PORT"),
        ({"proxy": {"url": "http://proxy", "headers": {"x": "y"}}, "transport": "grpc"}, "proxy.headers: "),
        ({"tls": []}, "tls: expected a section, got a list"),
    ],
)  # fmt: skip
def test_a_client_is_refused_in_a_sentence(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        client(**options)
    assert str(refused.value).startswith(text)
    assert refused.value.field


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"endpoint": "127.0.0.1"}, "endpoint: expected HOST:PORT, got '127.0.0.1'"),
        ({"endpoint": "127.0.0.1:x"}, "endpoint: expected HOST:PORT with a port up to 65535"),
        ({"endpoint": ""}, "endpoint: required, such as 127.0.0.1:46357"),
        ({"tls": {}}, 'tls: a server needs a certificate ("source" with cert and key) or "insecure": true'),
        ({"max_concurrent_streams": 0}, "max_concurrent_streams: at least 1, got 0"),
        ({"keepalive": {"tim": 1}}, 'unknown key "keepalive.tim"; did you mean "time"?'),
    ],
)
def test_a_server_is_refused_in_a_sentence(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        server(**options)
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("host:1", ("host", 1)), ("http://host", ("host", 80)), ("https://host", ("host", 443)),
        ("http://[::1]:5", ("::1", 5)), ("unix:///tmp/x", "/tmp/x"),
    ],
)  # fmt: skip
def test_targets(endpoint: str, target: object) -> None:
    assert client(endpoint=endpoint).target() == target


def test_a_fixed_backoff() -> None:
    backoff = client(backoff={"type": "fixed", "interval": "2s", "max_attempts": 3}).backoff
    assert [backoff.delay(attempt, 0.9) for attempt in range(3)] == [2.0, 2.0, 2.0]
    assert backoff.max_attempts == 3


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True), st.floats(1, 100))
def test_delays_grow_and_stay_within_half_of_their_bound(attempt: int, random: float, factor: float) -> None:
    backoff = Backoff(factor=factor)
    delay, later = backoff.delay(attempt, random), backoff.delay(attempt + 1, random)
    assert backoff.base / 2 <= delay <= later <= backoff.max_delay


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "endpoint",
        "tls",
        "auth",
        "headers",
        "keepalive",
        "backoff",
        "proxy",
        "link_id",
        "transport",
        "metadata",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(keys, values) | values)
def test_whatever_is_given_it_is_read_or_refused_with_a_config_error(value: Any) -> None:
    for kind in (ClientConfig, ServerConfig):
        try:
            kind.read(value)
        except ConfigError:
            pass


def test_a_section_knows_what_was_asked_for() -> None:
    section = Section({"a": None, "b": 1}, "top")
    assert section.take("a", str, "default") == "default"
    assert section.has("b")
    with pytest.raises(ConfigError, match=r'unknown key "top\.b"'):
        section.end()
    section.ignore("b", "c")
    assert not section.has("b")
    section.end()
