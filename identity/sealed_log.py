"""A log whose entries are sealed: nobody without the key can read, change, reorder or leave out one of them.

    magic (8) | file id (16) | mark of what is synced (52) | mark of what is written (52) | entries

    entry  = length (4) | AES-256-GCM of its bytes, under the number of the entry
    mark   = its number (4) | AES-256-GCM of how many entries there are and of the boot id

Each file has a key of its own, derived from the operator's and its id, so that no nonce is used twice: a log
is never gone on with, but written anew under another id. The marks tell a log that was cut from one whose end
was still on its way: after a kill the kernel has all that was written, after a power cut what was synced.

Pure: no file, no clock; the boot id is an argument.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from identity.errors import ConfigError, SlimError
from identity.record import record

MAGIC = b"cbjrnl01"
KEY_BYTES = 32
FILE_ID_BYTES = 16
BOOT_BYTES = 16
_TAG = 16
_COUNT = struct.Struct(">Q16s")
_MARK_BYTES = 4 + _COUNT.size + _TAG
HEADER_BYTES = len(MAGIC) + FILE_ID_BYTES + 2 * _MARK_BYTES
MAX_ENTRY = 64 * 1024 * 1024


class LogDamaged(SlimError):
    """A sealed log cannot be believed. `rule` is a short stable word: "form", "key", "cut" or "changed"."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Mark(IntEnum):
    """Which of the two marks."""

    SYNCED = 0
    WRITTEN = 1

    @property
    def offset(self) -> int:
        """Where it stands in the file."""
        return len(MAGIC) + FILE_ID_BYTES + self * _MARK_BYTES


class LogKey:
    """The operator's key, 32 bytes. Shows itself to nobody. Raises ConfigError for another number of them."""

    __slots__ = ("_bytes",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(
                f"the key of a journal has {len(key)} bytes, not {KEY_BYTES}; `openssl rand 32` makes one",
                field="journal_key",
            )
        self._bytes = bytes(key)

    def __repr__(self) -> str:
        return "<LogKey>"

    def of_file(self, file_id: bytes) -> AESGCM:
        """What seals the entries of one file."""
        derived = HKDF(SHA256(), KEY_BYTES, salt=file_id, info=b"callboard sealed log").derive(self._bytes)
        return AESGCM(derived)


class LogWriter:
    """Makes the bytes of one file: first `header`, then entries and marks."""

    __slots__ = ("_aead", "_boot", "_entries", "_file_id", "_marks")

    def __init__(self, key: LogKey, file_id: bytes, boot: bytes) -> None:
        self._file_id = file_id
        self._aead = key.of_file(file_id)
        self._boot = boot
        self._entries = 0
        self._marks = 0

    @property
    def entries(self) -> int:
        """How many were made."""
        return self._entries

    def header(self, entries: int) -> bytes:
        """How a file begins that is written at once, with so many entries, and synced."""
        marks = b"".join(self.mark(entries) for _ in Mark)
        return MAGIC + self._file_id + marks

    def entry(self, data: bytes) -> bytes:
        """The next entry."""
        sealed = self._aead.encrypt(b"note" + struct.pack(">Q", self._entries), data, self._file_id)
        self._entries += 1
        return struct.pack(">I", len(sealed)) + sealed

    def mark(self, entries: int | None = None) -> bytes:
        """A mark for what there is now, to be written at the offset of either."""
        nonce = b"mark" + struct.pack(">Q", self._marks)
        number = struct.pack(">I", self._marks)
        self._marks += 1
        count = _COUNT.pack(self._entries if entries is None else entries, self._boot)
        return number + self._aead.encrypt(nonce, count, self._file_id)


@record
class ReadLog(NamedTuple):
    """What a file held."""

    entries: tuple[bytes, ...]
    same_boot: bool
    """Whether the machine has run since it was written: then all that was written is there."""


def read_log(data: bytes, key: LogKey, boot: bytes) -> ReadLog:
    """The entries of a file. Raises LogDamaged."""
    if len(data) < HEADER_BYTES or data[: len(MAGIC)] != MAGIC:
        raise LogDamaged("form", "this file is no journal, or one that was cut within its first bytes")
    file_id = data[len(MAGIC) : len(MAGIC) + FILE_ID_BYTES]
    aead = key.of_file(file_id)
    synced, written = (_read_mark(data, mark, aead, file_id) for mark in Mark)
    if synced is None:
        raise LogDamaged("key", "the journal does not open: it was made with another key, or was changed")
    same_boot = written is not None and written[1] == boot
    least = max(synced[0], written[0]) if same_boot and written is not None else synced[0]
    entries = []
    for number, sealed in enumerate(_pieces(data)):
        try:
            entries.append(aead.decrypt(b"note" + struct.pack(">Q", number), sealed, file_id))
        except InvalidTag:
            if number < least or same_boot:
                raise LogDamaged("changed", f"entry {number} of the journal was changed") from None
            # What a power cut left of an entry that was never synced.
            break
    if len(entries) < least:
        raise LogDamaged(
            "cut", f"the journal was cut: {least} entries were written, {len(entries)} are there"
        )
    return ReadLog(tuple(entries), same_boot)


def _read_mark(data: bytes, mark: Mark, aead: AESGCM, file_id: bytes) -> tuple[int, bytes] | None:
    raw = data[mark.offset : mark.offset + _MARK_BYTES]
    (number,) = struct.unpack(">I", raw[:4])
    try:
        count, boot = _COUNT.unpack(aead.decrypt(b"mark" + struct.pack(">Q", number), raw[4:], file_id))
    except InvalidTag:
        return None
    return count, boot


def _pieces(data: bytes) -> Iterator[bytes]:
    """The sealed entries; what is left at the end and is no whole one is left out."""
    at = HEADER_BYTES
    while at + 4 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if length > MAX_ENTRY or at + 4 + length > len(data):
            return
        yield data[at + 4 : at + 4 + length]
        at += 4 + length
