"""An application in a process of its own: `python partner.py say|hear NAME ENDPOINT [PEER]`.

`hear` prints what it receives, a line each, and "lost" for a gap. `say` says 1, which is acknowledged before
it says 2 to 5, prints "said" and the outcome of each as it comes, and closes when there is a line to read.
"""

from __future__ import annotations

import asyncio
import sys

from actors.errors import MessageLost
from actors.messages.session import AppSettings
from actors.names import Name
from gateway import CompletionHandle, IdentityProvider, IdentityVerifier, Slim, SlimError

SECRET = "a shared secret of at least thirty-two bytes"


def application(name: str) -> Slim:
    pair = (kind.SharedSecret(name, SECRET) for kind in (IdentityProvider, IdentityVerifier))
    return Slim(Name.parse(name), *pair, settings=AppSettings(ping_interval=0.5))


async def hear(app: Slim) -> None:
    """Whatever comes, until the process is killed."""
    print("listening", flush=True)
    async for session in app.sessions():
        async for message in session.messages(gaps="items"):
            what = "lost" if isinstance(message, MessageLost) else message.payload.decode()
            print(f"heard {what}", flush=True)
        print("over", flush=True)


async def outcome(number: int, handle: CompletionHandle) -> None:
    try:
        await handle
    except SlimError as error:
        print(f"failed {number} {type(error).__name__}", flush=True)
    else:
        print(f"acknowledged {number}", flush=True)


async def say(app: Slim, peer: str) -> None:
    """Five messages; the other side of the test loses some."""
    loop = asyncio.get_running_loop()
    await app.set_route(Name.parse(peer))
    async with app.session(Name.parse(peer), timeout=1.0, max_retries=20) as session:
        handles = [await session.publish(b"1")]
        await handles[0]
        for number in range(2, 6):
            handles.append(await session.publish(b"%d" % number))
        outcomes = [asyncio.create_task(outcome(number, each)) for number, each in enumerate(handles, 1)]
        print("said", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
    await asyncio.gather(*outcomes)
    print("closed", flush=True)


async def main(verb: str, name: str, endpoint: str, *peer: str) -> None:
    async with application(name) as app:
        await app.connect({"endpoint": endpoint, "tls": {"insecure": True}})
        await (say(app, *peer) if verb == "say" else hear(app))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
