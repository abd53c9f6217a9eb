"""Scripted moderators: the class to subclass, and the stage that leads a group for it."""

from __future__ import annotations

from actors.moderation.script import Script

__all__ = ["Script"]
