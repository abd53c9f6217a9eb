"""How the connections of a data plane stand, as they tell it: who is an application, who a peer."""

from __future__ import annotations

import asyncio

from actors.messages.routing import ConnectionState
from actors.messages.wire import Role

_ENDS = ("lost", "closed", "superseded", "displaced")


class Standing:
    """By connection."""

    def __init__(self) -> None:
        self.applications: set[int] = set()
        """Connections that applications of ours opened."""
        self.nodes: dict[int, str] = {}
        """The ids of the nodes that are peers now."""
        self._node_lost = asyncio.Event()
        self._caller_gone = asyncio.Event()
        """One for each loss and end: set, and replaced."""

    def note_caller(self, state: ConnectionState) -> None:
        """How a connection stands that somebody else opened."""
        self.note(state)
        if state.state == "negotiated" and state.detail.endswith(Role.APPLICATION.name.lower()):
            self.applications.add(state.connection)

    def note(self, state: ConnectionState) -> None:
        """Who is a peer now, over whichever connection."""
        if state.state == "joined":
            self.nodes[state.connection] = state.detail
        elif self.nodes and state.state in _ENDS:
            self.nodes.pop(state.connection, None)
            self._node_lost.set()
            self._node_lost = asyncio.Event()

    def over(self, connection: int) -> None:
        """A connection has ended."""
        self.applications.discard(connection)
        self._caller_gone.set()
        self._caller_gone = asyncio.Event()

    async def one_over(self) -> None:
        """Return when a connection has ended."""
        await self._caller_gone.wait()

    async def parted(self, node_id: str) -> None:
        """Return when there is no link to that node."""
        while node_id in self.nodes.values():
            await self._node_lost.wait()
