"""Why alice does not reach bob, asked of real nodes over real sockets: one, and three that are peers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from actors.errors import HandshakeFailed, SessionError
from actors.names import Name
from actors.session import mls_session
from gateway.config import ClientConfig
from identity.mls import suite
from tests.gateway.admin.operated import ALICE, BOB, OTHER, SECRET, Operated, reaches, says
from tests.gateway.cli.processes import running
from tests.gateway.links.nats_server import NatsServer, needs_nats_server


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    made = Operated()
    async with made.held:
        yield made


async def call(alice: object) -> None:
    """Alice asks for bob and does not get him."""
    with suppress(HandshakeFailed):
        await alice.session(BOB, timeout=0.1, max_retries=2)._open()  # type: ignore[attr-defined]


# One node


async def test_nothing_is_missing_between_two_that_talk(operated: Operated) -> None:
    await operated.node("n1")
    alice = await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n1")
    async with alice.session(BOB):
        walk = await operated.walk()
    assert reaches(walk), walk
    assert [step.text.partition(": ")[0] for step in walk.steps] == [
        "org/demo/alice is registered at n1",
        "org/demo/bob is registered at n1",
        "org/demo/bob has not said that it refuses org/demo/alice",
    ]


async def test_a_name_that_nobody_registered(operated: Operated) -> None:
    await operated.node("n1")
    assert says("org/demo/alice was never registered at n1")(await operated.walk())
    await operated.application(ALICE, "n1")
    assert says("org/demo/bob was never registered at n1")(await operated.walk())


async def test_a_name_that_left(operated: Operated) -> None:
    await operated.node("n1")
    await operated.application(ALICE, "n1")
    bob = await operated.application(BOB, "n1")
    await bob.close(0.2)
    await bob.data_plane.close(0.2)
    await operated.until(says("org/demo/bob was known to n1 and left at "))


async def test_a_subscription_that_a_limit_refused(operated: Operated) -> None:
    await operated.node("n1", limits={"subscriptions": 70_000, "subscriptions_per_peer": 1})
    await operated.application(ALICE, "n1")
    other = await operated.application(ALICE.without_id(), "n1")
    with pytest.raises(SessionError, match="this peer holds its 1 subscriptions"):
        await other.subscribe(BOB)
    await operated.until(says(": this peer holds its 1 subscriptions"))


async def test_another_secret(operated: Operated) -> None:
    await operated.node("n1")
    alice = await operated.application(ALICE, "n1", OTHER, route=BOB)
    await operated.application(BOB, "n1")
    await call(alice)
    await operated.until(says("its token is made with another secret"))


async def test_mls_on_one_side_only(operated: Operated) -> None:
    await operated.node("n1")
    alice = await operated.application(ALICE, "n1", route=BOB)
    bob = await operated.application(BOB, "n1")
    bob.require(mls=True)
    await call(alice)
    await operated.until(says("only encrypted sessions are taken there"))


def other_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is invited from now on answers with a key package of a suite that SLIM does not use."""
    real, other = mls_session.make_key_package, suite(3)
    monkeypatch.setattr(mls_session, "make_key_package", lambda _, *rest, **more: real(other, *rest, **more))


async def test_mls_of_another_suite(
    operated: Operated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await operated.node("n1")
    alice = await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n1")
    other_suite(monkeypatch)
    with pytest.raises(SessionError, match="suite 3 in a group of"):
        await alice.session(BOB, mls=True)._open()
    walk = await operated.until(says("its MLS is of another cipher suite"))
    assert walk.verdict.startswith("org/demo/alice does not reach org/demo/bob: org/demo/alice/")
    assert "cannot take us in: our MLS is of another cipher suite" in caplog.text


async def test_a_node_that_drains(operated: Operated) -> None:
    node = await operated.node("n1")
    await operated.application(ALICE, "n1")
    node.data_plane.health.end("draining")
    assert says("n1 takes no messages any more: it is draining")(await operated.walk())


async def test_an_original_does_not_say_what_it_takes(operated: Operated) -> None:
    await operated.node("n1")
    await operated.application(ALICE, "n1")
    original = await operated.original("n1")
    await original.subscribed(BOB)
    walk = await operated.walk()
    assert walk.steps[-1].text == (
        "whether org/demo/bob takes it is not known to the node: look at the log of org/demo/bob"
    )


async def test_an_application_that_stopped_reading(operated: Operated) -> None:
    """It is a process of its own, and stopped: its connection stays, and takes nothing."""
    await operated.node("n1")
    alice = await operated.application(ALICE, "n1", route=BOB)
    address = f"http://{operated.nodes['n1'].addresses[0]}"
    words = ("listen", "--name", str(BOB), "--connect", address, "--shared-secret", SECRET)
    with running(*words) as bob:
        await asyncio.to_thread(bob.until, "listening")
        async with alice.session(BOB, timeout=None) as session:
            assert reaches(await operated.walk())
            bob.process.send_signal(signal.SIGSTOP)
            try:
                for _ in range(250):
                    await session.publish(b"x" * 65_000)
                walk = await operated.until(says(" does not read: its outbox has been full for "))
            finally:
                bob.process.send_signal(signal.SIGCONT)
            assert walk.missing is not None
            assert walk.missing.text.endswith(" dropped so far"), walk.missing.text
            # It goes on, and so do messages.
            await operated.until(reaches)


async def test_a_caller_of_another_wire_is_a_clue(operated: Operated) -> None:
    await operated.node("n1")
    await operated.application(ALICE, "n1")
    stranger = await operated.original("n1")
    # Protobuf, but no message of this protocol: a Publish whose header names nobody.
    stranger.send(bytes.fromhex("1a020a00"))
    await stranger.is_in_step()
    assert says("(version unknown) speaks another wire than n1 (0.7 - 1.4)")(await operated.walk())


RULES = """
deny  anonymous  subscribe       org/demo/closed
deny  anonymous  invite          org/demo/bob
deny  anonymous  publish         org/demo/carol
"""
CAROL, CLOSED = Name("org", "demo", "carol"), Name("org", "demo", "closed")


async def test_a_rule_that_forbids_it(operated: Operated, tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text(RULES)
    await operated.node("n1", rules=str(path))
    alice = await operated.application(ALICE, "n1")
    for name in (BOB, CAROL):
        await alice.subscribe(name)
    with pytest.raises(SessionError, match="do not let anonymous subscribe to org/demo/closed"):
        await alice.subscribe(CLOSED)
    expected = {
        BOB: f"invite org/demo/bob: {path}, line 3: deny anonymous invite org/demo/bob",
        CAROL: f"publish to org/demo/carol: {path}, line 4: deny anonymous publish org/demo/carol",
        CLOSED: f" ({path}, line 2: deny anonymous subscribe org/demo/closed)",
    }
    for name, text in expected.items():
        walk = await operated.walk(ALICE, name)
        assert says("the rules of ")(walk), walk
        assert walk.verdict.endswith(text), walk.verdict


async def test_a_route_by_hand_whose_link_is_down(operated: Operated) -> None:
    await operated.node("n1")
    await operated.node("n2")
    plane, other = (operated.nodes[name].data_plane for name in ("n1", "n2"))
    endpoint = f"http://{operated.nodes['n2'].addresses[0]}"
    config = {"endpoint": endpoint, "tls": {"insecure": True}, "backoff": {"type": "fixed", "interval": 30}}
    await plane.link(ClientConfig.read(config), announce=False, routes=[BOB])
    await operated.application(ALICE, "n1")
    walk = await operated.until(lambda walk: len(walk.steps) > 1, "n1")
    assert walk.steps[1].text.startswith("a route made by hand leads to org/demo/bob: connection ")
    await other.close(0.2)
    await operated.until(says("which is down: "), "n1")


async def test_a_controller_that_is_away_may_know_more(operated: Operated) -> None:
    away = {"endpoint": "http://127.0.0.1:1", "tls": {"insecure": True}}
    await operated.node("n1", controller={"clients": [away]})
    await operated.application(ALICE, "n1")
    await operated.until(says("n1 does not reach its controller http://127.0.0.1:1, which may know a route"))


@needs_nats_server
async def test_a_backbone_that_is_down(operated: Operated, tmp_path: Path) -> None:
    server = await NatsServer(tmp_path).start()
    operated.held.callback(server.kill)
    for name in ("n1", "n2"):
        await operated.node(name, backbone={"url": server.url})
    await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n2")
    await operated.until(reaches)
    server.kill()
    await operated.until(says("the backbone of n1 is down: "))


# Three nodes


async def three(operated: Operated) -> None:
    """Peers of one another, alice at the first and bob at the last."""
    await operated.node("n1")
    await operated.node("n2", "n1")
    await operated.node("n3", "n1", "n2")
    await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n3")


async def test_three_peers_know_the_way(operated: Operated) -> None:
    await three(operated)
    walk = await operated.until(reaches)
    assert any("n1 hands it to its peer n3" in step.text for step in walk.steps)
    alone = await operated.walk(ALICE, BOB, "n1")
    assert alone.steps[-1].text.startswith("n3 did not say what it does")
    assert {node.node for node in alone.unasked} == {"n2", "n3"}


async def test_of_mls_suites_the_nodes_of_both_know(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    await three(operated)
    await operated.until(reaches)
    alice = await operated.application(ALICE.with_id(None), "n2", route=BOB)
    other_suite(monkeypatch)
    with pytest.raises(SessionError):
        await alice.session(BOB, mls=True)._open()
    await operated.until(says("its MLS is of another cipher suite"))
    assert says("its MLS is of another cipher suite")(await operated.walk(ALICE, BOB, "n3", "n2"))


async def test_in_a_line_the_ends_do_not_reach_each_other(operated: Operated) -> None:
    await operated.node("n1")
    await operated.node("n2", "n1")
    await operated.node("n3", "n2")
    await operated.application(ALICE, "n1", route=BOB)
    await operated.application(BOB, "n3")
    await operated.until(says("org/demo/bob is at n3, to which n1 has no link: peers hand on"))


async def test_a_refusal_is_known_beside_the_one_who_refuses(operated: Operated) -> None:
    await three(operated)
    await operated.until(reaches)
    carol = await operated.application(ALICE.with_id(None), "n2", OTHER, route=BOB)
    await call(carol)
    await operated.until(says("its token is made with another secret"))
    assert says("its token is made with another secret")(await operated.walk(ALICE, BOB, "n3", "n2"))


async def test_a_node_that_ended(operated: Operated) -> None:
    await three(operated)
    await operated.until(reaches)
    await operated.nodes.pop("n3").close(0.2)
    walk = await operated.until(says("org/demo/bob was known to "))
    assert walk.missing is not None
    assert "node n3" in walk.missing.text
    assert [(node.node, node.state) for node in walk.unasked] == [("n3", "lost")]


async def test_a_link_that_is_down(operated: Operated) -> None:
    await three(operated)
    await operated.until(reaches)
    plane = operated.nodes["n3"].data_plane
    plane.peering.close()
    for connection in list(plane.routes.node_links):
        plane.links[connection].abort("cut")
    await operated.until(says("org/demo/bob is at n3, and the link from n1 to n3 is down since "))
    alone = await operated.until(says("org/demo/bob was known to "), "n1", "n2")
    assert alone.missing is not None
    assert "the link to node n3 is gone: " in alone.missing.text


async def test_a_peer_that_never_came_up(operated: Operated) -> None:
    await operated.node("n1", "http://127.0.0.1:1")
    await operated.application(ALICE, "n1")
    await operated.until(says("; the link from n1 to http://127.0.0.1:1 is down ("))
