"""Scripted moderators of an application: in its own loop, in a process beside it, and as a program."""

from __future__ import annotations

from gateway.moderation.moderating import Moderation

__all__ = ["Moderation"]
