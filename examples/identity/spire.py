"""Identities of a SPIFFE agent: no secret anywhere, and everything is renewed by itself.

    python examples/identity/spire.py
    SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/agent-sockets/spire-agent.sock python examples/identity/spire.py

Without an agent in the environment the program starts a stand-in that knows this workload by two identities.
"""

from __future__ import annotations

import os

from conversation import converse, run
from stand_ins import Agent

from gateway import IdentityProvider, IdentityVerifier


async def main() -> None:
    socket = os.environ.get("SPIFFE_ENDPOINT_SOCKET")
    if socket:
        await talk(socket, None, None)
        return
    async with Agent("/alice", "/bob") as agent:
        await talk(agent.socket_path, "spiffe://example.org/alice", "spiffe://example.org/bob")


async def talk(socket: str, alice: str | None, bob: str | None) -> None:
    """`alice` and `bob` choose among several identities of a workload; None takes the agent's first."""
    await converse(
        # On the verifier's side an identity is the one that the peer is expected to have.
        (IdentityProvider.Spire(socket, alice), IdentityVerifier.Spire(socket, bob)),
        (IdentityProvider.Spire(socket, bob), IdentityVerifier.Spire(socket, alice)),
    )


if __name__ == "__main__":
    run(main)
