"""Addresses of the loop's actors, and their compact form in messages.

An address is a number, unique in this process and never used again, and a reference to the mailbox behind
it, so that a send needs no look-up. In a packed message only the text ("loop:17") travels: an address made
from text is bound to its mailbox by the first send. Unlike Thespian's own, these addresses can be keys of a
dictionary; actors that must also run on Thespian's other bases key by `actorAddressString`.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from thespian.actors import ActorAddress

if TYPE_CHECKING:
    from actors.system.cell import Target

_PREFIX = "loop:"
_numbers = count(1)


class Address(ActorAddress):  # type: ignore[misc]
    """Where messages to one actor, port or pending `ask` go. Made by the system only."""

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
    """The compact form of an address of the loop, for a vocabulary's `pack`.

    Addresses of Thespian's simpleSystemBase have one too (their own text). Raises ValueError for others:
    those of `multiprocTCPBase` are packed by the keyed serializer.
    """
    details = address.addressDetails
    if not isinstance(details, str):
        raise ValueError(f"an address of type {type(details).__name__} has no compact form")
    return details


def address_from_text(text: str) -> ActorAddress:
    """The inverse of `address_to_text`. Raises ValueError when `text` begins like ours and is not."""
    if not text.startswith(_PREFIX):
        return ActorAddress(text)
    digits = text[len(_PREFIX) :]
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
        raise ValueError("not the text of an actor address")
    return Address(int(digits))
