"""A real browser: Chromium without a window, driven by its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
requires_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PATIENCE = 10.0
"""Seconds for anything at all to come true in a browser."""
FLAGS = (
    *("--headless=new", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"),
)


class BrowserError(Exception):
    """It could not do what it was told."""


class Tab:
    """One page. `problems` is what its console said of errors, and what it threw."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.problems: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A call of the protocol."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            while True:
                said = await self._socket.receive_json()
                if said.get("id") == self._number:
                    if "error" in said:
                        raise BrowserError(said["error"]["message"])
                    return dict(said["result"])
                self._note(said)

    def _note(self, said: dict[str, Any]) -> None:
        told = said.get("params", {})
        if said["method"] == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif said["method"] == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.problems.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    async def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in found:
            raise BrowserError(found["exceptionDetails"]["exception"].get("description", "an exception"))
        return found["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Wait until a JavaScript expression is true, over a change of the page too; its value."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(BrowserError):
                    if found := await self.run(condition):
                        return found
                await asyncio.sleep(0.02)

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self.call("Page.navigate", url=url)

    async def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """How large the window is, and which colours its user prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path) -> None:
        """Write what is seen as PNG."""
        found = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))


@asynccontextmanager
async def browser_tab() -> AsyncIterator[Tab]:
    """A new browser with nothing in it, and its tab."""
    assert CHROMIUM is not None
    folder = tempfile.mkdtemp()
    root = ("--no-sandbox",) if os.getuid() == 0 else ()
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *(*FLAGS, *root, f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            said = ""
            while (found := re.search(r"ws://([^/\s]+)/", said)) is None:
                line = await process.stderr.readline()
                assert line, f"the browser ended: {said[-400:]}"
                said += line.decode(errors="replace")
        drained = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as session:
            async with session.put(f"http://{found[1]}/json/new?about:blank") as answer:
                target = await answer.json()
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                yield tab
        drained.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)
