"""What is installed: version, kind of installation, and where it runs (`api.md` 9)."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

DISTRIBUTION = "callboard"


@cache
def get_version() -> str:
    """The version of the installed distribution: read once, as a controller says it to each node."""
    return metadata.version(DISTRIBUTION)


def get_build_profile() -> str:
    """`release` for an installed wheel, `editable` for an installation that runs from its sources."""
    origin = metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or ""
    return "editable" if '"editable": true' in origin else "release"


def get_build_info() -> str:
    """One line: distribution, version, profile, who built it, and the Python and system it runs on."""
    wheel = metadata.distribution(DISTRIBUTION).read_text("WHEEL") or ""
    built = next(
        (line.split(": ", 1)[1] for line in wheel.splitlines() if line.startswith("Generator: ")), ""
    )
    parts = [
        get_build_profile(),
        *([f"built by {built}"] if built else []),
        f"{platform.python_implementation()} {platform.python_version()}",
        f"{platform.system()} {platform.machine()}",
    ]
    return f"{DISTRIBUTION} {get_version()} ({', '.join(parts)})"
