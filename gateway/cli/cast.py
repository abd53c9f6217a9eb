"""One player of `callboard demo`: an application in a process of its own, directed line by line.

Orders come as JSON objects on standard input, {"do": ..., ...}; what happens goes to standard output as
JSON objects, {"event": ..., "who": ...}. An order that is done answers {"event": "done", "do": ...}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import Any

from actors.errors import SessionClosed
from actors.names import Name
from gateway.api.session import Session
from gateway.api.session_config import SessionConfiguration, SessionType
from gateway.api.slim import Slim
from gateway.cli.application import parse_name
from gateway.node.runner import run
from gateway.telemetry.log import log_to_stderr
from identity.errors import SlimError
from identity.provider import IdentityProvider, IdentityVerifier

TIMERS = (timedelta(seconds=1), 5)
CHANNEL = Name("callboard", "demo", "stage")
LIMIT = 10.0
"""Seconds that anything may take."""


def name_of(who: str) -> Name:
    """A player's name; `who` may be one already, ORG/NS/APP."""
    return parse_name(who, "who") if "/" in who else Name("callboard", "demo", who)


class Player:
    """An application, what it was told to do, and what it heard."""

    def __init__(self, who: str, app: Slim) -> None:
        self._who = who
        self._app = app
        self._group: Session | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, event: str, **more: Any) -> None:
        """Report to the director."""
        print(json.dumps({"event": event, "who": self._who, **more}), flush=True)

    def background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def accept(self) -> None:
        """Take every invitation."""
        async for session in self._app.sessions():
            if session.session_type is SessionType.Group:
                self._group = session
                self.tell("joined")
                self.background(self._listen(session))
            else:
                self.background(self._answer(session))

    async def _listen(self, session: Session) -> None:
        while True:
            try:
                context, payload = await session.get_message()
            except SessionClosed as exc:
                self.tell("ended", why=exc.cause or "it is over")
                return
            except SlimError as exc:
                self.tell("trouble", why=str(exc))
            else:
                self.tell("heard", source=context.source_name.strings[2], text=payload.decode())

    async def _answer(self, session: Session) -> None:
        async for message in session:
            await message.reply(b"and " + message.payload + b" to you")

    async def do(self, order: dict[str, Any]) -> None:
        """Carry out one order."""
        result: dict[str, Any] = {}
        match order["do"]:
            case "open":
                config = SessionConfiguration.Group(*TIMERS)
                self._group = await self._app.create_session(CHANNEL, config)
                self.background(self._listen(self._group))
            case "invite":
                name = name_of(order["whom"])
                await self._app.set_route(name)
                await (await self._session().invite(name))
            case "say":
                handle = await self._session().publish(order["text"].encode())
                await handle
            case "remove":
                await (await self._session().remove(name_of(order["whom"])))
            case "leave" | "close":
                await self._session().close()
            case "ask":
                result["times"] = await self._ask(name_of(order["whom"]), order["count"])
        self.tell("done", do=order["do"], **result)

    async def _ask(self, peer: Name, count: int) -> list[float]:
        """Round trips of requests, in seconds."""
        await self._app.set_route(peer)
        times = []
        async with self._app.session(peer) as session:
            for number in range(count):
                started = time.perf_counter()
                answer = await session.request(b"good evening", LIMIT)
                times.append(time.perf_counter() - started)
                if number == 0:
                    self.tell("heard", source=answer.source.strings[2], text=answer.payload.decode())
        return times

    def _session(self) -> Session:
        if self._group is None:
            raise SessionClosed("not in a group")
        return self._group


async def play(who: str, endpoint: str) -> None:
    """Connect, then follow orders until standard input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    secret = (await reader.readline()).decode().strip()
    mine = "/".join(name_of(who).strings)
    provider = IdentityProvider.SharedSecret(mine, secret)
    verifier = IdentityVerifier.SharedSecret(mine, secret)
    async with Slim(name_of(who), provider, verifier, local_service=True) as app:
        player = Player(who.rpartition("/")[2], app)
        await app.connect({"endpoint": endpoint, "tls": {"insecure": True}})
        player.background(player.accept())
        player.tell("ready")
        while line := await reader.readline():
            try:
                await player.do(json.loads(line))
            except SlimError as exc:
                player.tell("failed", why=str(exc))


def main() -> None:
    """`python -m gateway.cli.cast WHO ENDPOINT`; the secret comes first on standard input."""
    log_to_stderr("ERROR")
    try:
        run(play(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
