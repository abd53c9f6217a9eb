"""`callboard ctl`: what a controller, or one node's controller server, knows and does (`controller.md` 9)."""

from __future__ import annotations

from gateway.cli.ctl.commands import add

__all__ = ["add"]
