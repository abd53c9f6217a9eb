"""An order service and its clients, each a process: `order_programs.py ROLE NAME FILE NODE...`.

The service writes an order down and confirms it; a client writes down what was confirmed to it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from gateway.api.slim import Slim
from identity.errors import SlimError
from tests.gateway.app_stage import identity

SERVICE = "org/shop/orders"
QUICK = {"base": 50, "factor": 2.0, "max_delay": "500ms"}


def application(who: str, nodes: list[str]) -> Slim:
    where = {"endpoint": nodes[0], "alternatives": nodes[1:], "backoff": QUICK}
    return Slim(f"org/shop/{who}", *identity(who), connect=where, wait=30, outage=60)


async def serve(path: Path, nodes: list[str]) -> None:
    with path.open("a") as book:

        async def order(request: Any) -> bytes:
            book.write(request.payload.decode() + "\n")
            book.flush()
            return bytes(request.payload)

        async with application("orders", nodes) as app:
            print("ready", flush=True)
            await app.serve(order)


async def buy(who: str, path: Path, nodes: list[str]) -> None:
    number = 0
    with path.open("a") as confirmed:
        async with application(who, nodes) as app:
            await app.set_route(SERVICE)
            print("ready", flush=True)
            while True:
                try:
                    async with app.session(SERVICE) as session:
                        while True:
                            number += 1
                            said = f"{path.name}:{app.id:x}:{number}"
                            answer = await session.request(said.encode(), timeout=20)
                            confirmed.write(answer.payload.decode() + "\n")
                            confirmed.flush()
                            await asyncio.sleep(0.002)
                except SlimError as error:
                    print(f"again: {error}", file=sys.stderr, flush=True)
                    await asyncio.sleep(0.05)


if __name__ == "__main__":
    role, name, file, *endpoints = sys.argv[1:]
    main = serve(Path(file), endpoints) if role == "serve" else buy(name, Path(file), endpoints)
    asyncio.run(main)
