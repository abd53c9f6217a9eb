"""Originals at a node with rules by name: refused, and none the worse for it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.interop.harness import CallboardNode, OriginalApp, PeerError, requires_originals

pytestmark = [pytest.mark.originals, requires_originals]

RULES = """
deny  anyone  invite     org/test/hidden
deny  anyone  subscribe  org/test/reserved
"""


async def test_originals_are_refused_by_name_and_go_on(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text(RULES)
    async with CallboardNode(0, "--rules", str(rules)) as node:
        apps = [OriginalApp(name, node.endpoint) for name in ("alice", "bob", "hidden")]
        async with apps[0] as alice, apps[1] as bob, apps[2]:
            # It is told so in the acknowledgement, for which it asks once it knows the node's version.
            with contextlib.suppress(PeerError):
                async with OriginalApp("reserved", node.endpoint):
                    pass
            await alice.set_route("hidden")
            with pytest.raises(PeerError):
                await alice.create_session("hidden", interval=0.1, max_retries=2)
            await alice.set_route("bob")
            session, heard = await asyncio.gather(alice.create_session("bob"), bob.listen())
            _, came = await asyncio.gather(session.publish(b"hello"), heard.receive(1))
            assert [message.payload for message in came] == [b"hello"]
        assert "may not invite org/test/hidden" in node.stderr
        assert "may not subscribe org/test/reserved" in node.stderr
