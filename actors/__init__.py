"""The broker, as actors. Its log is the standard library's (`identity.log`)."""

from __future__ import annotations

from loguru import logger

OWNER = "callboard"
"""Whose package this is: the name is a common one (`gateway.neighbours`)."""

logger.disable(__name__)
