"""Objects on the path of a message have no more attributes than Python keeps by one table of a class.

Beyond that (30 in 3.11) each has a dictionary of its own: larger, and every look and call takes longer. What
needs more has slots.
"""

from __future__ import annotations

import gc

from tests.benchmarks.counted import applications

MOST = 30
_ON_THE_PATH = ("actors.", "gateway.api.session", "gateway.codec.", "gateway.http2.", "gateway.links.")


async def test_no_object_on_the_path_has_too_many_attributes() -> None:
    earlier = (
        gc.get_objects()
    )  # What other tests left behind is none of this path; kept, so that ids stay theirs.
    known = set(map(id, earlier))
    async with applications(2, node=True) as both:
        pair = await both.open()
        await pair.lone(1)
        found: dict[str, int] = {}
        for one in gc.get_objects():
            if (
                id(one) not in known
                and str(type(one).__module__).startswith(_ON_THE_PATH)
                and hasattr(one, "__dict__")
            ):
                name = type(one).__qualname__
                found[name] = max(found.get(name, 0), len(vars(one)))
    assert {"AppActor", "LoopSystem", "SessionActor", "Connection", "DialledLink"} <= found.keys()
    assert {name: count for name, count in found.items() if count > MOST} == {}
