"""What the version functions say is what is installed."""

from __future__ import annotations

import platform
from importlib import metadata

from gateway import get_build_info, get_build_profile, get_version


def test_version_is_that_of_the_distribution() -> None:
    assert get_version() == metadata.version("callboard")


def test_profile_tells_sources_from_a_wheel() -> None:
    assert get_build_profile() in ("editable", "release")


def test_info_is_one_line_with_all_of_it() -> None:
    info = get_build_info()
    assert info.startswith(f"callboard {get_version()} ({get_build_profile()}, ")
    assert platform.python_version() in info
    assert "\n" not in info
