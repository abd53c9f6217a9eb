"""The broker, as actors. Quiet: `gateway.init_tracing` turns the log of all three floors on."""

from __future__ import annotations

from loguru import logger

OWNER = "callboard"
"""Whose package this is: the name is a common one (`gateway.neighbours`)."""

logger.disable(__name__)
