from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from identity.mls.codec import Reader, decode_whole, u8
from identity.mls.errors import DecodeError
from identity.mls.framing import MlsMessage, PrivateMessage, PublicMessage, decode_message, encode_message
from identity.mls.leaf_node import Capabilities, Extension, Lifetime, RequiredCapabilities, decode_extensions
from identity.mls.messages import Commit, GroupInfo, GroupSecrets, Welcome
from identity.mls.proposal import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    KeyPackage,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from identity.mls.ratchet_tree import RatchetTree
from tests.identity.mls.support import cases, unhex


class Recoded:
    """A structure of the messages family, decoded by its own class."""

    def __init__(self, decode: Callable[[Reader], Any]) -> None:
        self.decode = decode

    def __call__(self, data: bytes) -> bytes:
        encoded: bytes = decode_whole(data, self.decode).encode()
        return encoded


def recode_message(kind: type[MlsMessage]) -> Callable[[bytes], bytes]:
    def recode(data: bytes) -> bytes:
        message = decode_message(data)
        assert isinstance(message, kind)
        return encode_message(message)

    return recode


FIELDS: dict[str, Callable[[bytes], bytes]] = {
    "mls_welcome": recode_message(Welcome),
    "mls_group_info": recode_message(GroupInfo),
    "mls_key_package": recode_message(KeyPackage),
    "ratchet_tree": Recoded(RatchetTree.decode),
    "group_secrets": Recoded(GroupSecrets.decode),
    "add_proposal": Recoded(Add.decode),
    "update_proposal": Recoded(Update.decode),
    "remove_proposal": Recoded(Remove.decode),
    "pre_shared_key_proposal": Recoded(PreSharedKey.decode),
    "re_init_proposal": Recoded(ReInit.decode),
    "external_init_proposal": Recoded(ExternalInit.decode),
    "group_context_extensions_proposal": Recoded(GroupContextExtensions.decode),
    "commit": Recoded(Commit.decode),
    "public_message_application": recode_message(PublicMessage),
    "public_message_proposal": recode_message(PublicMessage),
    "public_message_commit": recode_message(PublicMessage),
    "private_message": recode_message(PrivateMessage),
}


@pytest.mark.vectors
def test_messages_vectors() -> None:
    found = cases("messages")
    for case in found:
        for name, recode in FIELDS.items():
            assert recode(unhex(case[name])) == unhex(case[name]), f"{case['_id']} {name}"
    print(f"messages: {len(found)} cases, {len(found) * len(FIELDS)} structures passed")


@pytest.mark.parametrize("value", [
    Capabilities((1,), (1, 3, 2, 7, 5), (), (), (1,)),
    RequiredCapabilities((10,), (11, 12), (1,)),
    Lifetime(5, 2**63),
    Extension(9, b"data"),
])  # fmt: skip
def test_parts_of_a_leaf_are_read_back(value: Any) -> None:
    assert decode_whole(value.encode(), type(value).decode) == value


def test_extension_that_occurs_twice_is_refused() -> None:
    one = Extension(9, b"").encode()
    with pytest.raises(DecodeError, match="occurs twice"):
        decode_whole(u8(2 * len(one)) + one + one, decode_extensions)
