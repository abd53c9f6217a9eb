"""Addresses: equal and hashed by number, compact in messages, bound by the first use."""

from __future__ import annotations

import copy
import pickle
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from thespian.actors import ActorAddress

from actors.system import LoopSystem, address_from_text, address_to_text
from actors.system.address import Address, tcp_address
from tests.actors.system.cast import Echo, Said, Say


@given(st.integers(0, 2**63 - 1))
def test_the_text_of_an_address_makes_an_equal_one(number: int) -> None:
    address = Address(number)
    again = address_from_text(address_to_text(address))
    assert again == address
    assert hash(again) == hash(address)
    assert str(again) == address.actorAddressString == f"loop:{number}"


@given(st.ip_addresses(v=4).filter(lambda host: not host.is_unspecified), st.integers(1, 65535))
def test_addresses_of_actor_processes_have_a_text_too(host: IPv4Address, port: int) -> None:
    text = f"tcp:{host}:{port}"
    assert address_to_text(address_from_text(text)) == text


def test_addresses_of_the_simple_base_have_a_text_too() -> None:
    assert address_from_text(address_to_text(ActorAddress("/A~b"))) == ActorAddress("/A~b")


def test_addresses_of_other_kinds_have_none() -> None:
    with pytest.raises(ValueError, match="int"):
        address_to_text(ActorAddress(3))


@pytest.mark.parametrize(
    "text",
    [
        "loop:",
        "loop:x",
        "loop:-1",
        "loop:1_0",
        "loop:" + "9" * 20,
        "loop:²",
        "tcp:1",
        "tcp:host:1",
        "tcp:1.2.3.4:0",
    ],
)
def test_what_only_looks_like_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        address_from_text(text)


def test_a_tcp_address_is_numeric() -> None:
    with pytest.raises(ValueError):
        tcp_address("localhost", 1)


@pytest.mark.parametrize("other", [Address(2), ActorAddress("loop:1"), ActorAddress(1), "loop:1", None])
def test_addresses_of_others_differ(other: object) -> None:
    assert Address(1) != other
    assert (Address(1) == other) is False


async def test_numbers_are_never_shared_between_systems() -> None:
    first, second = LoopSystem(), LoopSystem()
    assert first.spawn(Echo) != second.spawn(Echo)


async def test_an_address_made_of_text_reaches_the_actor() -> None:
    system = LoopSystem()
    echo = system.spawn(Echo)
    assert await system.ask(address_from_text(address_to_text(echo)), Say("hello"), 5.0) == Said("hello!")


async def test_copies_and_pickles_hold_no_actor() -> None:
    system = LoopSystem()
    echo = system.spawn(Echo)
    assert copy.deepcopy([echo])[0] is copy.copy(echo) is echo
    again = pickle.loads(pickle.dumps(echo))
    assert again == echo
    assert again.cell is None
