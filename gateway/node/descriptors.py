"""File descriptors: as many as the connections of a node need, as far as the system lets us."""

from __future__ import annotations

from identity.log import logger

SPARE = 128
"""Descriptors besides connections: listeners, links, files, the log."""


def reserve(connections: int) -> str:
    """Raise the limit of this process to what so many connections need.

    Returns what is to be said where the system does not allow it; nothing when all is well.
    """
    try:
        import resource
    except ImportError:
        return ""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= wanted:
        return ""
    granted = wanted if hard == unlimited else min(wanted, hard)
    if granted > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
        except (OSError, ValueError):
            granted = soft
    if granted >= wanted:
        return ""
    return (
        f"{connections} connections need {wanted} file descriptors, and this process may have {granted}: "
        f"raise that (ulimit -n, LimitNOFILE=), or set limits.connections to {max(1, granted - SPARE)}"
    )


def say_if_few(connections: int) -> None:
    """Reserve, and warn where there are too few."""
    said = reserve(connections)
    if said:
        logger.warning("few file descriptors", cause=said)
