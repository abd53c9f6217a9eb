from __future__ import annotations

import pytest

from identity.mls.cipher_suite import suite
from identity.mls.codec import decode_whole
from identity.mls.framing import AuthenticatedContent
from identity.mls.transcript_hash import (
    confirmation_tag,
    confirmed_transcript_hash,
    interim_transcript_hash,
)
from tests.identity.mls.support import cases, unhex


@pytest.mark.vectors
def test_transcript_hash_vectors() -> None:
    found = cases("transcript-hashes")
    for case in found:
        use = suite(case["cipher_suite"])
        content = decode_whole(unhex(case["authenticated_content"]), AuthenticatedContent.decode)
        assert content.encode() == unhex(case["authenticated_content"])
        before = unhex(case["interim_transcript_hash_before"])
        confirmed = confirmed_transcript_hash(
            use, before, content.wire_format, content.content.encoded, content.signature
        )
        assert confirmed == unhex(case["confirmed_transcript_hash_after"])
        assert content.confirmation_tag is not None
        tag = confirmation_tag(use, unhex(case["confirmation_key"]), confirmed)
        assert tag == content.confirmation_tag
        after = interim_transcript_hash(use, confirmed, content.confirmation_tag)
        assert after == unhex(case["interim_transcript_hash_after"])
    print(f"transcript-hashes: {len(found)} passed")
