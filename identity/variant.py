"""What all providers and verifiers have in common: their arguments, kept as given, read-only, and shown."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Self


class Variant:
    """A provider or verifier as applications make it.

    Its constructor's arguments are read-only attributes, and its repr shows those that were given, except the
    `secrets` named with the class. Raises ConfigError at construction, naming the argument that cannot work.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()
    _secrets: ClassVar[frozenset[str]] = frozenset()
    _defaults: ClassVar[dict[str, object]] = {}
    _arguments: dict[str, Any]

    def __init_subclass__(cls, *, secrets: tuple[str, ...] = (), **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" not in vars(cls):
            return
        cls._secrets = cls._secrets | frozenset(secrets)
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        named = {each.name: each.default for each in parameters if each.kind is not each.VAR_KEYWORD}
        cls._defaults = {**cls._defaults, **named}
        positional = (each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)
        # By setattr: the type checker takes neither for something that a class may be given.
        setattr(cls, "__match_args__", tuple(positional))  # noqa: B010
        setattr(cls, "__init__", _keeping(cls.__init__))  # noqa: B010
        for name in cls._defaults:
            setattr(cls, name, _Argument(name))

    @classmethod
    def configured(cls, **given: Any) -> Self:
        """One made from a configuration or a command line, which gave these arguments and no others."""
        return cls(**given)

    def __repr__(self) -> str:
        shown = (
            f"{name}=<hidden>" if name in self._secrets else f"{name}={value!r}"
            for name, value in self._arguments.items()
            if name not in self._defaults or value != self._defaults[name]
        )
        return f"{type(self).__qualname__}({', '.join(shown)})"


class _Argument:
    """A constructor argument that can be read and not set."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Variant | None, owner: type) -> Any:
        return self if instance is None else instance._arguments[self._name]

    def __set__(self, instance: Variant, value: object) -> None:
        raise AttributeError(f"{self._name} is read-only: make a new object")


def _keeping(init: Callable[..., None]) -> Callable[..., None]:
    """The constructor that keeps its arguments before it runs; a subclass's go before those of its base."""
    signature = inspect.signature(init)
    further = next((each.name for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD), "")

    @wraps(init)
    def keep(self: Variant, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        _, *given = bound.arguments.items()
        kept = dict(given)
        kept |= kept.pop(further, {})
        arguments = vars(self).setdefault("_arguments", {})
        for name, value in kept.items():
            arguments.setdefault(name, value)
        init(self, *args, **kwargs)

    return keep
