"""Addresses of the loop's actors, and their compact form in messages.

An address is a number, unique in this process and never used again, and a reference to the mailbox behind
it, so that a send needs no look-up. In a packed message only the text ("loop:17") travels: an address made
from text is bound to its mailbox by the first send. Unlike Thespian's own, these addresses can be keys of a
dictionary; actors that must also run on Thespian's other bases key by `actorAddressString`.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import count
from typing import Any, Protocol

from thespian.actors import ActorAddress
from thespian.system.addressManager import ActorLocalAddress, CannotPickleAddress

_PREFIX = "loop:"
_TCP_PREFIX = "tcp:"
_numbers = count(1)


class Target(Protocol):
    """What stands behind an address: the mailbox of an actor, an inbox, a waiting `ask`, nobody."""

    def deliver(self, message: Any, sender: ActorAddress) -> bool:
        """Take a message. False when it was refused, or there is nobody to take it."""


class Address(ActorAddress):  # type: ignore[misc]
    """Where messages to one actor, inbox or pending `ask` go. Made by the system only."""

    __slots__ = ("cell", "number")

    def __init__(self, number: int, cell: Target | None = None) -> None:
        self.number = number
        self.cell = cell

    @property
    def addressDetails(self) -> str:
        return f"{_PREFIX}{self.number}"

    @property
    def actorAddressString(self) -> str:
        return f"{_PREFIX}{self.number}"

    def __str__(self) -> str:
        return f"{_PREFIX}{self.number}"

    def __repr__(self) -> str:
        return f"<Address {self}>"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Address) and other.number == self.number)

    def __hash__(self) -> int:
        return self.number

    def __copy__(self) -> Address:
        return self

    def __deepcopy__(self, _memo: object) -> Address:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # Whoever pickles an address gets what a packed message would give him, never the actor behind it.
        return (Address, (self.number,))


def new_address(cell: Target) -> Address:
    """An address nobody had before in this process, bound to `cell`."""
    return Address(next(_numbers), cell)


def address_to_text(address: ActorAddress) -> str:
    """The compact form of an address, for a vocabulary's `pack`.

    The loop's addresses have one, and those of Thespian's simpleSystemBase and multiprocTCPBase.

    Raises ValueError for an address of another kind, and Thespian's CannotPickleAddress for a child that is
    still being created in another process: hand that on, Thespian then sends the message a little later.
    """
    details = address.addressDetails
    if isinstance(details, ActorLocalAddress):
        usable = details.addressManager.exportAddr(address)
        if usable is None:
            raise CannotPickleAddress(address)
        details = usable.addressDetails
    if isinstance(details, str):
        return details
    sockname = getattr(details, "sockname", None)
    if sockname is None or len(sockname) != 2 or getattr(details, "routing", None):
        raise ValueError(f"an address of type {type(details).__name__} has no compact form")
    return f"{_TCP_PREFIX}{sockname[0]}:{sockname[1]}"


def address_from_text(text: str) -> ActorAddress:
    """The inverse of `address_to_text`. Raises ValueError when `text` begins like an address and is none."""
    if text.startswith(_PREFIX):
        return Address(_number(text[len(_PREFIX) :]))
    if text.startswith(_TCP_PREFIX):
        host, _, port = text[len(_TCP_PREFIX) :].rpartition(":")
        return tcp_address(host, _number(port))
    return ActorAddress(text)


def tcp_address(host: str, port: int) -> ActorAddress:
    """The address of an actor of multiprocTCPBase. Raises ValueError unless `host` is numeric IPv4."""
    # Imported late: the module asks the resolver for this host's names when it is loaded.
    from thespian.system.transport.IPBase import TCPv4ActorAddress

    if IPv4Address(host).is_unspecified or not 0 < port < 65536:
        raise ValueError("a TCP address is one host and a port from 1 to 65535")
    return ActorAddress(TCPv4ActorAddress(host, port, external=True))


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
        raise ValueError("not the text of an actor address")
    return int(digits)
