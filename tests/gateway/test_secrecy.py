"""What sessions and the gateway log, at every level, shows no payload, no secret and no token."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator

import pytest
from loguru import logger

from actors.errors import ConnectionLost, HandshakeFailed
from gateway.api.slim import Slim
from gateway.config import ServerConfig
from gateway.node.data_plane import DataPlane
from tests.gateway.app_stage import PLAIN, SECRET, AppStage, identity, name

PAYLOAD = b"the-words-that-nobody-else-may-read"
METADATA = "a-remark-that-nobody-else-may-read"
OTHER = "quite another secret of enough bytes, for tests"
PASSWORD = "a-password-of-the-node"


@pytest.fixture
def heard() -> Iterator[list[str]]:
    lines: list[str] = []
    form = "{level} {message} {extra} {exception}"
    sink = logger.add(lambda line: lines.append(str(line)), level=0, format=form, diagnose=False)
    yield lines
    logger.remove(sink)


@pytest.fixture
async def stage() -> AsyncIterator[AppStage]:
    made = AppStage("server")
    await made.start()
    yield made
    await made.close()


def assert_secret_free(lines: list[str], *tokens: str) -> None:
    text = "\n".join(lines)
    assert text, "something was logged"
    hidden = [SECRET, OTHER, PASSWORD, METADATA, PAYLOAD.decode(), PAYLOAD.hex()]
    hidden += [base64.b64encode(PAYLOAD).decode()[:32]]
    # The last part of a token is its MAC.
    hidden += [token.rsplit(":", 1)[1] for token in tokens]
    assert [words for words in hidden if words in text] == []


@pytest.mark.parametrize("mls", [False, True], ids=["clear", "mls"])
async def test_sessions(heard: list[str], stage: AppStage, mls: bool) -> None:
    """A group from its first invitation to its end, with a peer who may not come in."""
    alice, bob = await stage.app("alice"), await stage.app("bob")
    stranger = await stage.app("eve", secret=OTHER)
    await stage.route(alice, "bob")
    await stage.route(bob, "alice")
    await stage.route(stranger, "bob")
    with pytest.raises(HandshakeFailed):
        await stranger.session(name("bob"), timeout=0.05, max_retries=1, mls=mls)
    tokens = []
    async with alice.group(name("room"), invite=[name("bob")], mls=mls) as group:
        joined = await bob.listen_for_session(10)
        await (await group.publish(PAYLOAD, metadata={"remark": METADATA}))
        message = await joined.get_message(10)
        assert message.payload == PAYLOAD
        tokens.append(message.context.identity)
        await (await message.reply(PAYLOAD))
        tokens.append((await group.get_message(10)).context.identity)
        await (await group.remove(name("bob")))
    assert any("dropped" in line for line in heard), "the stranger's messages were refused aloud"
    assert_secret_free(heard, *tokens)


async def test_a_listener_with_a_password(heard: list[str]) -> None:
    """Right and wrong passwords, and a stream that speaks no protobuf."""
    node = DataPlane(strict=True)
    auth = {"type": "basic", "username": "user", "password": PASSWORD}
    config = {"endpoint": "127.0.0.1:0", "tls": PLAIN, "auth": auth}
    address = await node.serve(ServerConfig.read(config))
    plane = DataPlane(strict=True)
    async with Slim(name("alice"), *identity("alice"), data_plane=plane) as app:
        client = {"endpoint": f"http://{address}", "tls": PLAIN, "backoff": {"max_attempts": 1}}
        with pytest.raises(ConnectionLost) as refused:
            await app.connect({**client, "auth": {**auth, "password": PASSWORD + "!"}})
        await app.connect({**client, "auth": auth})
    await plane.close(1.0)
    await node.close(1.0)
    assert_secret_free([*heard, str(refused.value)])
