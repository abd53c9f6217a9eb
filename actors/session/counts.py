"""What all sessions of an application count together."""

from __future__ import annotations

from actors.telemetry import Counts, counter


class SessionCounts(Counts, part="session"):
    dropped: int = counter(
        "Data messages dropped: of no member, without room for them, or after they were given up."
    )
    undecryptable: int = counter("Data messages that could not be decrypted.")
    retransmissions: int = counter("Data messages sent to somebody again, due or asked for.")
    farewells_dropped: int = counter("Last answers forgotten because a session gave too many.")
