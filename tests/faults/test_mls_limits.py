"""Numbers at their ends: clocks, lifetimes, epochs, counts, lengths. Errors are typed, costs are linear."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from time import process_time

import pytest

from identity.claims import LEEWAY
from identity.mls import Group, SlimIdentity, StateError, ValidationError, suite, validation
from identity.mls.authentication_service import Occasion
from identity.mls.leaf_node import LeafNode, LeafNodeSource, Lifetime
from identity.mls.messages import GroupContext
from identity.mls.proposal import Add, PreSharedKey, PreSharedKeyId, PskType, ReInit, Remove, ResumptionUsage
from identity.mls.ratchet_tree import ParentNode, RatchetTree
from identity.mls.validation import MAX_EPOCH, MAX_LIFETIME, MAX_PSKS
from identity.mls.welcome import BACKDATE, LIFETIME, KeyPackage
from tests.identity.mls.members import NOW, found, package


@pytest.mark.parametrize(
    ("ahead", "taken"),
    [(BACKDATE + 1, True), (BACKDATE + LEEWAY, True), (BACKDATE + LEEWAY + 1, False)],
)
def test_clocks_may_differ_as_much_as_for_tokens(ahead: float, taken: bool) -> None:
    early = package("bob", now=NOW + ahead).message
    late = package("bob", now=NOW - LIFETIME + 2 * BACKDATE - ahead).message
    for data in (early, late):
        alice = found()
        if taken:
            assert alice.commit(add=[data], now=NOW).effect.added == (1,)
        else:
            with pytest.raises(ValidationError, match="lifetime"):
                alice.commit(add=[data], now=NOW)


def living(seconds: int) -> KeyPackage:
    """A key package that is good for so long, from now on."""
    use, bundle = suite(1), package("bob")
    leaf = LeafNode.sign(
        use,
        bundle.signer,
        encryption_key=bundle.leaf_key.public,
        credential=bundle.key_package.leaf_node.credential,
        capabilities=bundle.key_package.leaf_node.capabilities,
        source=LeafNodeSource.KEY_PACKAGE,
        lifetime=Lifetime(int(NOW), int(NOW) + seconds),
    )
    return KeyPackage.sign(use, bundle.signer, init_key=bundle.init_key.public, leaf_node=leaf)


def test_key_package_that_would_live_too_long_is_refused_by_committer_proposer_and_policy() -> None:
    package = living(MAX_LIFETIME + 1)
    identity = SlimIdentity(None)  # type: ignore[arg-type]
    attempts: list[Callable[[], object]] = [
        lambda: found().commit(proposals=[Add(package)], now=NOW),
        lambda: found().propose(Add(package), now=NOW),
        lambda: identity.identify(package.leaf_node, Occasion.ENTERS, NOW),
    ]
    for attempt in attempts:
        with pytest.raises(ValidationError) as caught:
            attempt()
        assert caught.value.rule == "total_lifetime"
    assert found().commit(proposals=[Add(living(MAX_LIFETIME))], now=NOW).effect.added == (1,)


def test_proposer_checks_the_lifetime_too() -> None:
    with pytest.raises(ValidationError) as caught:
        found().propose(Add(living(10)), now=NOW + 10 + LEEWAY + 1)
    assert caught.value.rule == "lifetime"


def at_epoch(group: Group, epoch: int) -> Group:
    group._state = replace(group._state, context=replace(group._state.context, epoch=epoch))
    return group


def test_last_epoch_ends_with_a_typed_error() -> None:
    alice = at_epoch(found(), MAX_EPOCH)
    with pytest.raises(StateError, match="the last epoch"):
        alice.commit(now=NOW)
    context = GroupContext(1, b"g", MAX_EPOCH, b"", b"")
    with pytest.raises(ValidationError, match="last_epoch"):
        validation.epoch_may_end(context)
    assert at_epoch(found(), MAX_EPOCH - 1).commit(now=NOW).effect.epoch == MAX_EPOCH


def test_more_psks_than_can_be_counted_are_refused() -> None:
    psks = [PreSharedKey(PreSharedKeyId(PskType.EXTERNAL, bytes(32), b"%d" % n)) for n in range(MAX_PSKS + 1)]
    alice = found()
    alice._psks = lambda _: b"key"
    with pytest.raises(ValidationError) as caught:
        alice.commit(proposals=psks, now=NOW)
    assert caught.value.rule == "psk_count"


@pytest.mark.parametrize("length", [-1, 255 * 32 + 1, 65_536, 2**40])
def test_export_of_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(StateError, match=f"{length} bytes cannot be exported, from 0 to 8160 can"):
        found().export(b"label", b"", length)
    assert len(found().export(b"label", b"", 255 * 32)) == 255 * 32


@pytest.mark.parametrize(
    "proposal",
    [
        Remove(2**40),
        Remove(-1),
        ReInit(b"", 1, 70_000, ()),
        ReInit(b"", 70_000, 1, ()),
        PreSharedKey(
            PreSharedKeyId(PskType.RESUMPTION, bytes(32), b"", ResumptionUsage.APPLICATION, b"g", 2**64)
        ),
    ],
    ids=lambda proposal: repr(proposal)[:30],
)
def test_numbers_beyond_their_field_are_refused_with_a_typed_error(proposal: object) -> None:
    alice = found()
    alice._psks = lambda _: b"key"
    before = alice.snapshot()
    for attempt in (
        lambda: alice.propose(proposal, now=NOW),  # type: ignore[arg-type]
        lambda: alice.commit(proposals=[proposal], now=NOW),  # type: ignore[list-item]
    ):
        with pytest.raises((ValidationError, StateError)):
            attempt()
        assert alice.snapshot() == before


def unmerged_everywhere(leaves: int) -> RatchetTree:
    """A tree in which nobody has the keys of the nodes above, as after many Adds without a path."""
    leaf = package("leaf").key_package.leaf_node
    nodes: list[object] = [leaf] * (2 * leaves - 1)
    for position in range(1, 2 * leaves - 1, 2):
        reach = (1 << ((~position & (position + 1)).bit_length() - 1)) - 1
        below = range((position - reach) // 2, (position + reach) // 2 + 1)
        nodes[position] = ParentNode(b"%d" % position, b"", tuple(number for number in below if number))
    return RatchetTree(nodes)  # type: ignore[arg-type]


def test_unmerged_leaves_are_checked_in_linear_time() -> None:
    times = {}
    for leaves in (1024, 8192):
        tree = unmerged_everywhere(leaves)
        times[leaves] = min(_timed(lambda tree=tree: validation.unmerged_leaves(tree)) for _ in range(3))  # type: ignore[misc]
    growth = 8 * math.log2(8192) / math.log2(1024)
    assert times[8192] < 3 * growth * times[1024], times


def _timed(action: Callable[[], object]) -> float:
    start = process_time()
    action()
    return process_time() - start
