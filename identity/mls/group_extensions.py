"""What stands in a group context's extensions is checked wherever it enters (RFC 9420, 11.1 and 12.1.8.1).

Whoever let a malformed extension in would find every message of the group unreadable afterwards.
"""

from __future__ import annotations

from identity.mls.authentication_service import AuthenticationService, Occasion
from identity.mls.cipher_suite import CipherSuite
from identity.mls.codec import decode_whole
from identity.mls.errors import DecodeError, ValidationError
from identity.mls.external_senders import external_senders
from identity.mls.leaf_node import Extensions, ExtensionType, RequiredCapabilities, find_extension


def check_form(extensions: Extensions) -> None:
    """The extensions that the library reads can be read. Raises ValidationError."""
    try:
        external_senders(extensions)
    except DecodeError as error:
        raise ValidationError("external_senders", f"malformed external senders: {error}") from None
    required = find_extension(extensions, ExtensionType.REQUIRED_CAPABILITIES)
    try:
        if required is not None:
            decode_whole(required, RequiredCapabilities.decode)
    except DecodeError as error:
        raise ValidationError("required_capabilities", f"malformed requirements: {error}") from None


def accept_extensions(
    extensions: Extensions,
    suite: CipherSuite,
    identity: AuthenticationService,
    occasion: Occasion,
    now: float,
    *,
    before: Extensions = (),
) -> None:
    """Check the extensions, and judge the external senders that were not in those `before`.

    Raises ValidationError, and what the authentication service raises besides.
    """
    check_form(extensions)
    known = external_senders(before)
    for number, sender in enumerate(external_senders(extensions)):
        if sender in known:
            continue
        try:
            suite.scheme.load_public(sender.signature_key)
        except ValidationError as error:
            problem = f"the signature key of external sender {number} is {error.problem}"
            raise ValidationError("external_senders", problem) from None
        identity.accept_external_sender(sender, occasion, now)
