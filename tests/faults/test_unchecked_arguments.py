"""What cannot be sent is refused in the call that brings it, and harms no message beside it.

One behaviour whether messages between actors are packed (strict) or not, in one process or over the wire.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from gateway import AppSettings, ConfigError, Request, Session, SessionConfiguration, Slim
from gateway.api.session import Message
from tests.gateway.app_stage import AppStage, identity, name

Config = SessionConfiguration.PointToPoint
ANY: Any = None


@dataclass
class Pair:
    """Two applications, a session of theirs with one message received, and a group that alice leads."""

    alice: Slim
    bob: Slim
    here: Session
    there: Session
    message: Message
    group: Session


@pytest.fixture(params=["strict", "not strict"])
async def pair(request: pytest.FixtureRequest, kind: str) -> AsyncIterator[Pair]:
    stage = AppStage(kind, strict=request.param == "strict")
    await stage.start()
    alice, bob = await stage.app("alice"), await stage.app("bob")
    await stage.route(alice, "bob")
    here = await alice.session(name("bob"))
    there = await bob.listen_for_session(5)
    await here.publish(b"first")
    group = await alice.group(name("channel"))
    yield Pair(alice, bob, here, there, await there.get_message(5), group)
    await stage.close()


@pytest.fixture(params=["in one process", "server"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Text(str):
    """A text of a class of its own."""


async def harmless(request: Request[bytes]) -> bytes:
    return request.payload


WRONG: dict[str, tuple[str, Callable[[Pair], Awaitable[Any]]]] = {
    "a number as payload": ("msg", lambda p: p.here.publish(5)),  # type: ignore[arg-type]
    "a text as payload": ("msg", lambda p: p.here.publish("text")),  # type: ignore[arg-type]
    "a list of texts as payload": ("msg", lambda p: p.here.publish(["a"])),  # type: ignore[list-item]
    "a list of large numbers as payload": ("msg", lambda p: p.here.publish([256])),
    "no payload": ("msg", lambda p: p.here.publish(ANY)),
    "a number as request": ("msg", lambda p: p.here.request(5)),  # type: ignore[arg-type]
    "a number as answer": ("msg", lambda p: p.message.reply(5)),  # type: ignore[arg-type]
    "metadata with a number": ("metadata", lambda p: p.here.publish(b"", None, {"a": 1})),  # type: ignore[dict-item]
    "metadata with a number as key": ("metadata", lambda p: p.here.publish(b"", None, {1: "a"})),  # type: ignore[dict-item]
    "metadata with half a character": ("metadata", lambda p: p.here.publish(b"", None, {"a": "\ud800"})),
    "metadata that is a list": ("metadata", lambda p: p.here.publish(b"", None, [("a", "b")])),  # type: ignore[arg-type]
    "an answer's metadata": ("metadata", lambda p: p.message.reply(b"", None, {"a": None})),  # type: ignore[dict-item]
    "a request's metadata": ("metadata", lambda p: p.here.request(b"", 1, None, {"a": b"b"})),  # type: ignore[dict-item]
    "a number as payload type": ("payload_type", lambda p: p.here.publish(b"", 5)),  # type: ignore[arg-type]
    "half a character as payload type": ("payload_type", lambda p: p.here.publish(b"", "\udfff")),
    "a message as context": ("message_ctx", lambda p: p.there.publish_to(p.message, b"")),  # type: ignore[arg-type]
    "a text as timeout": ("timeout", lambda p: p.here.get_message("1s")),  # type: ignore[arg-type]
    "no number as timeout": ("timeout", lambda p: p.here.get_message(math.nan)),
    "a text as timeout of a request": ("timeout", lambda p: p.here.request(b"", "1s")),  # type: ignore[arg-type]
    "a text as timeout of a listener": ("timeout", lambda p: p.bob.listen_for_session("1s")),  # type: ignore[arg-type]
    "a text as time of closing": ("grace", lambda p: p.alice.close("1s")),  # type: ignore[arg-type]
    "no end as time of closing": ("grace", lambda p: p.alice.close(math.inf)),
    "a number as guest": ("name", lambda p: p.group.invite(5)),  # type: ignore[arg-type]
    "half a name as guest": ("name", lambda p: p.group.invite("org/bob")),
    "a name with half a character": ("name", lambda p: p.group.invite("org/ns/\ud800")),
    "half a name as member": ("name", lambda p: p.group.remove("bob")),
    "half a name to subscribe": ("name", lambda p: p.alice.subscribe("bob")),
    "half a name to unsubscribe": ("name", lambda p: p.alice.unsubscribe("bob")),
    "half a name to route": ("name", lambda p: p.alice.set_route("bob")),
    "half a name to route no more": ("name", lambda p: p.alice.remove_route("bob")),
    "a text as connection": ("connection", lambda p: p.alice.set_route("a/b/c", "1")),  # type: ignore[arg-type]
    "half a name as peer": ("destination", lambda p: p.alice.create_session("bob", Config())),
    "a number as peer": ("dest_name", lambda p: p.alice.create_session(dest_name=5, session_config=Config())),  # type: ignore[arg-type]
    "a dict as configuration": ("session_config", lambda p: p.alice.create_session("a/b/c", {})),  # type: ignore[arg-type]
    "the type as configuration": ("session_config", lambda p: p.alice.create_session("a/b/c", Config)),  # type: ignore[arg-type]
    "a configuration of another kind": (
        "session_type",
        lambda p: now(lambda: p.here.set_session_config(SessionConfiguration.Group(1.0, 1))),
    ),
    "a dict for a running session": ("config", lambda p: now(lambda: p.here.set_session_config({}))),  # type: ignore[arg-type]
    "half a name for the short spelling": ("peer", lambda p: now(lambda: p.alice.session("bob"))),
    "half a name as channel": ("channel", lambda p: now(lambda: p.alice.group("channel"))),
    "one guest instead of several": ("invite", lambda p: now(lambda: p.alice.group("a/b/c", "a/b/d"))),
    "a guest without a name": ("invite", lambda p: now(lambda: p.alice.group("a/b/c", ["a/b/d", "e"]))),
    "a number as configuration of a connection": ("client_config", lambda p: p.alice.connect(5)),  # type: ignore[arg-type]
    "a text as configuration of a server": ("server_config", lambda p: p.alice.run_server("a:1")),  # type: ignore[arg-type]
    "no endpoint to leave": ("endpoint", lambda p: p.alice.disconnect(ANY)),
    "no endpoint to stop": ("endpoint", lambda p: p.alice.stop_server(5)),  # type: ignore[arg-type]
    "no handler": ("handler", lambda p: now(lambda: p.bob.serve("echo"))),  # type: ignore[call-overload]
    "a number as codec": ("codec", lambda p: now(lambda: p.bob.serve(harmless, codec=5))),  # type: ignore[call-overload]
    "the wrong class as codec": ("codec", lambda p: now(lambda: p.bob.serve(harmless, codec=str))),  # type: ignore[call-overload]
    "no place for a session": ("sessions", lambda p: now(lambda: p.bob.serve(harmless, sessions=0))),
    "a text as time to finish": ("drain", lambda p: now(lambda: p.bob.serve(harmless, drain="1s"))),  # type: ignore[call-overload]
    "a word for what is required": ("mls", lambda p: now(lambda: p.bob.require(mls="no"))),  # type: ignore[arg-type]
    "an id that is no session": (
        "session",
        lambda p: now(lambda: p.bob.set_session_config("5", Config())),  # type: ignore[arg-type]
    ),
    "an id as session": ("session", lambda p: p.alice.delete_session(p.here.id)),  # type: ignore[arg-type]
    "a word for MLS": ("mls_enabled", lambda p: now(lambda: p.alice.session("a/b/c", mls="no"))),  # type: ignore[arg-type]
    "too short a time": ("timeout", lambda p: now(lambda: Config(timedelta(microseconds=1), 1))),
    "too long a time": ("timeout", lambda p: now(lambda: Config(timedelta(days=50), 1))),
    "a session's metadata": ("metadata", lambda p: now(lambda: Config(1.0, 1, False, {"a": "\ud800"}))),
}


async def now(call: Callable[[], Any]) -> Any:
    return call()


async def test_a_wrong_argument_is_named_and_harms_nobody(pair: Pair) -> None:
    for wrong, (field, call) in WRONG.items():
        before = await pair.here.publish(b"before")
        with pytest.raises(ConfigError) as refused:
            await call(pair)
        assert refused.value.field == field, wrong
        assert field in str(refused.value), wrong
        after = await pair.here.publish(b"after")
        assert [(await pair.there.get_message(5)).payload for _ in range(2)] == [b"before", b"after"], wrong
        await before.wait_for(5)
        await after.wait_for(5)


async def test_what_can_be_taken_is_taken(pair: Pair) -> None:
    """Texts of any class, payloads in any form of bytes, names as texts: equal on the other side."""
    metadata: dict[str, str] = {Text("key"): Text("välue")}
    for payload in (b"ab", bytearray(b"ab"), memoryview(b"ab"), [97, 98], (97, 98)):
        await pair.here.publish(payload, Text("kind"), metadata)
        context, received = await pair.there.get_message(5)
        assert (received, context.payload_type, context.metadata) == (b"ab", "kind", {"key": "välue"})
    for kind, payload in (("k" * 127, b""), ("k" * 128, b""), ("ä" * 10_000, b""), ("k" * 128, b"ab")):
        await pair.here.publish(payload, kind)
        context, received = await pair.there.get_message(5)
        assert (received, context.payload_type) == (payload, kind)
    await pair.alice.set_route("org/default/bob") if pair.alice.data_plane.dialled() else None
    async with pair.alice.session("org/default/bob") as session:
        assert session.dst.equal_without_id(name("bob"))
        await pair.bob.listen_for_session(5)
    await (await pair.group.invite("org/default/bob"))
    await (await pair.group.remove("org/default/bob"))


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"name": "half"}, "name"),
        ({"name": 5}, "name"),
        ({"provider": identity("app")[1]}, "provider"),
        ({"verifier": identity("app")[0]}, "verifier"),
        ({"settings": {"inbox": 1}}, "settings"),
        ({"settings": AppSettings(inbox=0)}, "settings.inbox"),
        ({"settings": AppSettings(ping_interval="10s")}, "settings.ping_interval"),  # type: ignore[arg-type]
        ({"data_plane": "shared"}, "data_plane"),
    ],
)
async def test_an_application_is_made_of_what_can_work(more: dict[str, Any], field: str) -> None:
    provider, verifier = identity("app")
    with pytest.raises(ConfigError, match=field) as refused:
        Slim(**{"name": name("app"), "provider": provider, "verifier": verifier, **more})
    assert refused.value.field == field


def test_provider_and_verifier_are_not_swapped() -> None:
    provider, verifier = identity("app")
    with pytest.raises(ConfigError, match="provider: expected an IdentityProvider, got"):
        Slim(name("app"), verifier, provider)
