"""What all identity examples do: alice opens a session with bob, asks, and is answered.

Both run in this process, so that there is one thing to start. Between processes or machines the same pairs of
provider and verifier work; each application has its own there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from gateway import IdentityVerifier, Name, Slim, init_tracing
from identity.protocols import Provider

ALICE, BOB = Name("agntcy", "demo", "alice"), Name("agntcy", "demo", "bob")


async def converse(alice: tuple[Provider, IdentityVerifier], bob: tuple[Provider, IdentityVerifier]) -> None:
    """Exchange a question and an answer, and print who each side was proved to be."""
    async with (
        await Slim.new(ALICE, *alice) as asking,
        await Slim.new(BOB, *bob) as answering,
        asking.session(BOB) as session,
    ):
        await session.publish(b"who is there?")
        async with await answering.listen_for_session(timeout=10) as other:
            context, question = await other.get_message(timeout=10)
            await show(bob[1], "alice", context.identity, question)
            await other.publish_to(context, b"bob is")
            context, answer = await session.get_message(timeout=10)
            await show(alice[1], "bob", context.identity, answer)


async def show(verifier: IdentityVerifier, name: str, token: str, payload: bytes) -> None:
    """Print a message with the subject of its sender's token, which the session has verified already."""
    claims = await verifier.get_claims(token, time.time())
    print(f"{name}, proved to be {claims['sub']}: {payload.decode()}", flush=True)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an example, with nothing but warnings in its log."""
    init_tracing({"log_level": "warning"})
    asyncio.run(main())
