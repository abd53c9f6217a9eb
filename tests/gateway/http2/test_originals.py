"""An unmodified original application at our server: it connects, negotiates the link, subscribes."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys

import pytest

from gateway.http2 import GrpcStatus, Headers, Http2Server, ServerStream, serve
from tests.gateway.http2.conftest import Certificate
from tests.gateway.http2.links import Accepting, settled
from tests.gateway.http2.peers import METHOD

pytestmark = [
    pytest.mark.originals,
    pytest.mark.skipif(
        importlib.util.find_spec("slim_bindings") is None,
        reason="slim-bindings has no wheel for this platform",
    ),
]

SCRIPT = """
import json, sys
import slim_bindings as slim
how = json.loads(sys.argv[1])
slim.initialize_with_defaults()
service = slim.get_global_service()
if "authority" in how:
    config = slim.new_secure_client_config(how["endpoint"])
    config.tls.ca_source = slim.CaSource.FILE(how["authority"])
else:
    config = slim.new_insecure_client_config(how["endpoint"])
config.headers = how["headers"]
connection = service.connect(config)
print("connected", flush=True)
name = slim.Name("org", "default", "alice")
app = service.create_app_with_secret(name, "a-secret-of-at-least-32-characters!!")
app.subscribe(name, connection)
print("subscribed", flush=True)
sys.stdin.readline()
"""


class MiniNode(Accepting):
    """Answers link negotiation and subscriptions (`dataplane.md` 2.1, 4, 5), by the bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[bytes] = []

    def stream_opened(self, stream: ServerStream, headers: Headers) -> None:
        self.headers.append(headers)

        def on_messages(batch: list[bytes]) -> None:
            self.seen += batch
            stream.send([reply for message in batch if (reply := self.answer(message))])

        stream.start(on_messages=on_messages, on_closed=lambda cause: None)

    @staticmethod
    def answer(message: bytes) -> bytes | None:
        if message[0] == 0x2A:  # Message.link
            asked = message[4:]
            return bytes([0x2A, len(asked) + 4, 0x0A, len(asked) + 2]) + asked + b"\x18\x01"
        if message[0] == 0x0A:  # Message.subscribe
            body, _ = field(message, 1)
            _, end = field(body, 1)
            subscription_id = body[end + 1 :]
            return bytes([0x32, len(subscription_id) + 3, 0x08]) + subscription_id + b"\x10\x01"
        return None


def field(data: bytes, at: int) -> tuple[bytes, int]:
    """The length-delimited field whose length stands at `at`, and where it ends."""
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return data[at : at + length], at + length


class Original:
    """The process of an original application."""

    def __init__(
        self, endpoint: str, headers: dict[str, str] | None = None, authority: str | None = None
    ) -> None:
        how = {"endpoint": endpoint, "headers": headers or {}} | (
            {"authority": authority} if authority else {}
        )
        self._argument = json.dumps(how)

    async def __aenter__(self) -> Original:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SCRIPT,
            self._argument,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def says(self, word: str) -> None:
        """Wait for a line with `word`."""
        assert self._process.stdout is not None
        said = ""
        async with asyncio.timeout(30):
            while word not in said:
                line = await self._process.stdout.readline()
                if not line:
                    pytest.fail(f"no {word!r} in: {said[-2000:]}")
                said += line.decode()


def endpoint(server: Http2Server, scheme: str = "http") -> str:
    host = "127.0.0.1" if scheme == "http" else "localhost"
    return f"{scheme}://{host}:{server.port}"


async def test_an_original_connects_negotiates_and_subscribes() -> None:
    node = MiniNode()
    async with (
        await serve(node, METHOD) as server,
        Original(endpoint(server), {"x-extra": "1"}) as original,
    ):
        await original.says("subscribed")
        # Before the link is negotiated, the original does not wait for an acknowledgement.
        await settled(lambda: {0x2A, 0x0A} <= {message[0] for message in node.seen})
        assert node.headers[0]["user-agent"].startswith("tonic/")
        assert node.headers[0]["x-extra"] == "1"
        (link,) = [message for message in node.seen if message[0] == 0x2A]
        assert link.endswith(b"\x12\x051.4.0")
        assert server.statistics().refusals == {}


async def test_an_original_over_tls(certificate: Certificate) -> None:
    node = MiniNode()
    async with (
        await serve(node, METHOD, ssl=certificate.server()) as server,
        Original(endpoint(server, "https"), authority=str(certificate.authority)) as original,
    ):
        await original.says("subscribed")


@pytest.mark.parametrize("http", [True, False])
async def test_an_original_understands_refusals(http: bool) -> None:
    class Refusing:
        def stream_opened(self, stream: ServerStream, headers: Headers) -> None:
            if http:
                stream.refuse(401)
            else:
                stream.close(GrpcStatus.UNAUTHENTICATED, "who are you?")

    async with await serve(Refusing(), METHOD) as server, Original(endpoint(server)) as original:
        await original.says("HTTP status code 401" if http else "who are you?")
