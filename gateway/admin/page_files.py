"""The page for browsers: files that hold nothing of the node, so that anybody may have them. What it shows it
asks the API for, as whoever looks at it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from actors.record import record

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page: what it may do, whatever gets into it."""

_FILES = {
    "/": ("index.html", "text/html"),
    "/page/page.css": ("page.css", "text/css"),
    "/page/page.js": ("page.js", "text/javascript"),
}
PATHS = tuple(_FILES)


@record
class PageFile(NamedTuple):
    """One file of the page."""

    text: str
    content_type: str


@cache
def page_file(path: str) -> PageFile:
    """The file at one of PATHS."""
    name, content_type = _FILES[path]
    return PageFile(files("gateway.admin").joinpath("page", name).read_text("utf-8"), content_type)
