"""What payloads mean to a handler: bytes as they are, texts, JSON, or models where pydantic is installed.

@app.serve(codec=JSON)
async def add(request):
    return sum(request.payload)
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, Generic, Protocol, TypeVar

from identity.errors import ConfigError

T = TypeVar("T")


class PayloadCodec(Protocol[T]):
    """Reads and writes payloads of one kind."""

    payload_type: str | None
    """Said along with what is written; None: the original's "msg"."""

    def decode(self, payload: bytes) -> T:
        """The value in a payload. Raises ValueError for one that holds none."""

    def encode(self, value: T) -> bytes:
        """The payload for a value. Raises TypeError or ValueError for one that cannot be written."""


class Bytes:
    """Payloads as they are."""

    payload_type = None

    def decode(self, payload: bytes) -> bytes:
        return payload

    def encode(self, value: bytes) -> bytes:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"expected bytes, got {type(value).__name__}; or serve with another codec")
        return bytes(value)


class Text:
    """UTF-8."""

    payload_type = "text/plain"

    def decode(self, payload: bytes) -> str:
        return payload.decode()

    def encode(self, value: str) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"expected a text, got {type(value).__name__}")
        return value.encode()


class Json:
    """What `json` reads and writes."""

    payload_type = "application/json"

    def decode(self, payload: bytes) -> Any:
        try:
            return json.loads(payload)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def encode(self, value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Model(Generic[T]):
    """JSON of one type that pydantic knows: a model, a dataclass, `list[int]` ...

    What is written may be of another type: it is written as pydantic does. Raises ConfigError where
    pydantic is not installed.
    """

    payload_type = "application/json"

    def __init__(self, kind: type[T]) -> None:
        try:
            pydantic, core = import_module("pydantic"), import_module("pydantic_core")
        except ImportError as exc:
            raise ConfigError("Model needs pydantic: pip install pydantic", field="codec") from exc
        self._adapter: Any = pydantic.TypeAdapter(kind)
        self._to_json = core.to_json

    def decode(self, payload: bytes) -> T:
        value: T = self._adapter.validate_json(payload)
        return value

    def encode(self, value: Any) -> bytes:
        return bytes(self._to_json(value))


BYTES, TEXT, JSON = Bytes(), Text(), Json()
