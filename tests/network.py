"""`make network`: the network demo with the programs of the published group guide, where the guide is."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.cli.network import Programs, play
from gateway.node.runner import run
from tests.guides import FOLDER, block

PROCFILE = Path(__file__).resolve().parents[1] / "Procfile"
GUIDE = "group-management"


def published() -> Programs | None:
    """The guide's programs, as printed; None where the guide is not."""
    if not (FOLDER / GUIDE).with_suffix(".md").exists():
        return None
    return Programs(
        create=block(GUIDE, "CreateChannelRequest("),
        add=block(GUIDE, "AddParticipantRequest("),
        link=block(GUIDE, "CreateConnectionRequest("),
    )


if __name__ == "__main__":
    sys.exit(run(play(PROCFILE, published())))
