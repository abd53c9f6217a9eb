"""The page of a node, in a real browser: on wide and narrow windows, light and dark, with names that lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import Name
from gateway.admin.access import AdminRole
from gateway.admin.page_files import PATHS, page_file
from tests.gateway.admin.browser import Tab, browser_tab, requires_chromium
from tests.gateway.admin.conftest import OPERATOR, Run
from tests.gateway.app_stage import connected
from tests.gateway.authority import HostAuthority

VIEWS = (
    *("overview", "peers", "connections", "applications", "groups"),
    *("sessions", "routes", "queues", "actors", "explain"),
)
LIE = "<img src=x onerror=document.title='fooled'>"


async def test_its_files_are_open_and_may_do_nothing_elsewhere(run_node: Run) -> None:
    async with run_node({"token": OPERATOR}) as running, running.client() as client:
        for path in PATHS:
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert (await client.get("/page/../server.py")).status_code in (401, 404)


@requires_chromium
async def test_it_shows_the_node_live_on_all_windows(run_node: Run, tmp_path: Path) -> None:
    lying = Name("org", "ns", LIE)
    cert, key = HostAuthority().issue(ttl=2.5 * 86_400).write(tmp_path)
    plain = {"endpoint": "127.0.0.1:0", "tls": {"insecure": True}}
    secret = {"endpoint": "localhost:0", "tls": {"source": {"type": "file", "cert": cert, "key": key}}}
    async with (
        run_node(dataplane={"servers": [plain, secret]}) as running,
        connected("org/ns/ann", running.node.addresses[0]) as ann,
        browser_tab() as tab,
    ):
        await ann.subscribe(lying)
        await tab.look(1200)
        await tab.open(f"{running.base}/")
        await tab.until("document.querySelector('#state').textContent === 'serving'")
        assert await tab.run("document.querySelector('#node').textContent") == "slim/0"
        # The charts grow by themselves.
        await tab.until(
            "document.querySelector('.chart .first').getAttribute('points').split(' ').length > 1"
        )
        await tab.until("document.querySelectorAll('.tiles .card').length > 5")
        for text in ("Certificates", "ends soon", "messages per second", "no limit"):
            await tab.until(f"document.querySelector('main').innerText.includes({text!r})")
        for width in (1200, 360):
            for dark in (False, True):
                await tab.look(width, dark=dark)
                for view in VIEWS:
                    await see(tab, view)
                    assert await tab.run("document.documentElement.scrollWidth <= innerWidth"), (view, width)
        backgrounds = []
        for dark in (False, True):
            await tab.look(1200, dark=dark)
            backgrounds.append(await tab.run("getComputedStyle(document.body).backgroundColor"))
        assert backgrounds == ["rgb(255, 255, 255)", "rgb(20, 24, 30)"]

        await see(tab, "applications")
        await tab.until(f"document.querySelector('main').innerText.includes({LIE!r})")
        assert await tab.run("document.querySelectorAll('main img').length") == 0
        assert await tab.run("document.title") == "slim/0 - serving - Callboard"
        # By name.
        await tab.run("document.querySelector('input[type=search]').value = 'org/ns/an'")
        await tab.run("document.querySelector('input[type=search]').dispatchEvent(new Event('input'))")
        await tab.until("document.querySelectorAll('tbody tr').length === 1")
        assert await tab.run("document.querySelector('tbody').innerText.startsWith('org/ns/ann')")

        await see(tab, "explain?from=org/ns/ann&to=org/ns/bob")
        verdict = await tab.until("document.querySelector('.verdict')?.textContent")
        assert verdict.startswith("org/ns/ann does not reach org/ns/bob:")
        assert tab.problems == []


async def see(tab: Tab, view: str) -> None:
    """Go to a view, and wait until it is there."""
    await tab.run(f"void (location.hash = {view!r})")
    link = f"nav a[aria-current][href='#{view.split('?')[0]}']"
    await tab.until(f'!!document.querySelector("{link}")')
    shown = "h2" if view == "overview" else "form" if view.startswith("explain") else ".scroll"
    await tab.until(f"!!document.querySelector('main {shown}')")


@requires_chromium
async def test_a_browser_logs_in_by_a_link_that_is_used_up(run_node: Run) -> None:
    async with run_node({"token": OPERATOR}) as running, browser_tab() as tab:
        await tab.open(f"{running.base}/")
        said = await tab.until(
            "!document.querySelector('#notice').hidden && document.querySelector('#notice').textContent"
        )
        assert "callboard admin link" in said
        assert await tab.run("document.querySelector('#state').textContent") == "asking"
        link = running.admin.link(AdminRole.READER)
        await tab.open(link)
        await tab.until("document.querySelector('#state')?.textContent === 'serving'")
        assert await tab.run("location.href") == f"{running.base}/"
        assert await tab.run("document.cookie") == ""
        # Again it is worth nothing.
        await tab.open(link)
        await tab.until("document.body.innerText.includes('this link was used')")


@requires_chromium
async def test_it_says_when_the_node_is_gone(run_node: Run) -> None:
    async with browser_tab() as tab:
        async with run_node() as running:
            await tab.open(f"{running.base}/")
            await tab.until("document.querySelector('#state').textContent === 'serving'")
        await tab.until("document.querySelector('#notice').textContent.includes('does not answer')")


@pytest.mark.parametrize("path", PATHS)
def test_a_wheel_has_them(path: str) -> None:
    assert page_file(path).text
