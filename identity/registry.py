"""How a provider or verifier is registered: one line says everything about it that others need to know.

    API             its name, an attribute of `IdentityProvider` or `IdentityVerifier`
    configuration   its kind, the `type` of an `auth` section, and the keys of its options there
    command line    the flags of its options; SLIM_SOME_FLAG in the environment stands for --some-flag
    repr            what it is called there, and in tracebacks

The lines stand in `identity.provider`. A variant's module is loaded when it is wanted: some bring much along.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Generic, NamedTuple, TypeVar, cast

from identity.record import record
from identity.variant import Variant

V = TypeVar("V")


class Form(Enum):
    """What an option holds, and so how it is written down."""

    TEXT = auto()
    SECRET = auto()
    """A text that is never shown."""
    SECONDS = auto()
    """A duration."""
    TEXTS = auto()
    """Several texts: a comma list on the command line."""
    REPEATED = auto()
    """Several texts: the flag may be repeated."""
    KEY = auto()
    """An `identity.jose.keys.Key`: a section of a configuration, a file of keys on a command line."""


@record
class Option(NamedTuple):
    """An argument of a provider or verifier, and what it is called elsewhere."""

    argument: str
    keys: tuple[str, ...] = ()
    """In an `auth` section; others than the first are older spellings. "a.b" is b in section a."""
    flags: tuple[str, ...] = ()
    metavar: str = "TEXT"
    help: str = ""
    form: Form = Form.TEXT
    required: bool = False
    """Whether an `auth` section must have it."""
    chooses: bool = True
    """Whether its flag alone says that this provider or verifier is meant."""


class Registered(Generic[V]):
    """A variant: where it is, and what others need to know of it. Reading the attribute gives the class.

    `place` is "module:Class". `kind` is None for what no configuration can name.
    """

    def __init__(
        self,
        place: str,
        kind: str,
        *options: Option,
        verified_by: str = "",
        carries_claims: bool = True,
        ignored: tuple[str, ...] = (),
    ) -> None:
        self.place = place
        self.kind = kind
        self.options = options
        self.verified_by = verified_by or kind
        """Of a provider: the kind of the verifier of its tokens."""
        self.carries_claims = carries_claims
        """Of a provider: whether its tokens can carry claims of ours, as MLS needs."""
        self.ignored = ignored
        """Keys of an `auth` section that are read without effect."""
        self.name = ""
        self._variant: type[V] | None = None

    def __set_name__(self, role: type, name: str) -> None:
        self.name = name

    def __get__(self, role: Any, metaclass: type | None = None) -> type[V]:
        if self._variant is None:
            module, _, name = self.place.partition(":")
            variant = getattr(importlib.import_module(module), name)
            # Tracebacks and reprs call the variants what their users call them.
            variant.__name__, variant.__qualname__ = self.name, f"{role.__name__}.{self.name}"
            self._variant = variant
        return cast(type[V], self._variant)

    def option(self, argument: str) -> Option | None:
        """The option of an argument, if it is one."""
        return next((option for option in self.options if option.argument == argument), None)


class IdentityRole(type):
    """The metaclass of the two roles: each variant is an attribute of it, so that no object has them."""

    def add(cls, name: str, line: Registered[Any]) -> None:
        """Register a variant at run time, as a line in the class body does."""
        line.__set_name__(type(cls), name)
        setattr(type(cls), name, line)

    def lines(cls) -> list[Registered[Any]]:
        """All variants of the role, in their order."""
        return [line for line in vars(type(cls)).values() if isinstance(line, Registered)]

    def of_kind(cls, kind: str) -> Registered[Any] | None:
        """The variant of a kind, if there is one."""
        return next((line for line in cls.lines() if line.kind == kind), None)

    def make(cls, line: Registered[Any], values: Mapping[str, Any]) -> Any:
        """A provider or verifier from the `values` of its arguments; what is None or empty was not given.

        Raises ConfigError, whose `field` is the argument at fault.
        """
        variant: type[Variant] = line.__get__(cls)
        return variant.configured(
            **{name: value for name, value in values.items() if value not in (None, (), [])}
        )
