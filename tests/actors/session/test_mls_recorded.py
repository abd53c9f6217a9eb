"""What SLIM's own applications put on the wire, against our side of a session's MLS group."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from actors.messages.wire import Frame, GroupAdd, GroupRemove, GroupWelcome, JoinReply, MessageType, Payload
from actors.names import Name
from actors.session.commit_shape import check_commit
from actors.session.crypto import ClearText
from actors.session.mls_session import MODERATOR, MlsSession
from gateway.codec import InboundParser, WireCodec
from identity.mls import KeyUnavailable
from identity.mls.framing import PrivateMessage, decode_message
from identity.mls.proposal import KeyPackage
from identity.mls.slim_identity import issue_time
from identity.shared_secret import SharedSecretVerifier, make_token
from tests.actors.session.mls_stage import run
from tests.identity.mls.support import Case, bundle_of, cases, unhex
from tests.transcripts import V1, rows

SENDER = Name("org", "default", "alice", 1)
TRANSCRIPT_SECRET = "slim-transcript-test-secret-0123456789abcdef"
RECORDED = 1_795_360_000.0
"""About when the conversations took place, in Unix seconds."""
MLS = [name for name in V1 if "mls" in name]


def session(secret: str, now: float) -> MlsSession:
    return MlsSession(SharedSecretVerifier("app", secret), wall=lambda: now, random=os.urandom)


@pytest.mark.vectors
@pytest.mark.parametrize("years", [0, 30], ids=["at its time", "long after"])
def test_real_groups_are_followed(years: int) -> None:
    """Also when every token in the group has run out since, which SLIM's own implementation refuses."""
    found = cases("slim-session")
    events = 0
    for case in found:
        member = session(case["shared_secret"], issued(case) + years * 31_536_000)
        member._bundle = bundle_of(case)
        run(member.join(unhex(case["welcome"]), SENDER))
        for event in case["events"]:
            message = unhex(event["mls_message"])
            if event["kind"] == "commit":
                member.process(message)
                assert member._group is not None
                assert member._group.epoch_authenticator == unhex(event["epoch_authenticator"])
            else:
                assert member._group is not None
                leaf = member._group.sender(message)
                source = SENDER if leaf == MODERATOR else Name("org", "default", "member", leaf)
                assert member.decrypt(source, message) == unhex(event["plaintext"])
                assert member.epoch == event["epoch"]
            events += 1
    print(f"slim-session: {len(found)} runs, {events} events followed")


def issued(case: Case) -> float:
    return issue_time(bundle_of(case).key_package.leaf_node.credential.data.decode())


@pytest.mark.parametrize("name", MLS)
def test_recorded_conversations_fit(name: str) -> None:
    """Framing, who commits, commit ids; their key packages enter a group of ours."""
    seen: dict[str, int] = {}
    commits: list[int] = []
    moderator: MlsSession | None = None
    for message in recorded(name):
        content = message.content
        seen[message.kind.name] = seen.get(message.kind.name, 0) + 1
        if isinstance(content, JoinReply) and content.key_package:
            package = decode_message(content.key_package)
            assert isinstance(package, KeyPackage)
            token = package.leaf_node.credential.data.decode()
            if ":" in token:
                moderator = moderator or founded(issue_time(token))
                addition = run(moderator.add(message.source, content.key_package))
                check_commit(addition.commit, MODERATOR)
        elif isinstance(content, GroupAdd | GroupRemove) and content.mls is not None:
            check_commit(content.mls.content, MODERATOR)
            commits.append(content.mls.commit_id)
        elif isinstance(content, GroupWelcome) and content.mls is not None:
            assert content.mls.commit_id >= 1
            guest = joining(RECORDED)
            with pytest.raises(KeyUnavailable, match="not for this key package"):
                run(guest.join(content.mls.content, message.source))
        elif message.kind is MessageType.MSG and isinstance(content, Payload):
            if not content.blob.startswith(b"\x00\x01\x00\x02"):
                assert name.startswith(("v0.7.1", "cross"))
                with pytest.raises(ClearText):
                    joining(RECORDED).decrypt(message.source, content.blob)
            else:
                assert isinstance(decode_message(content.blob), PrivateMessage)
    assert seen["JOIN_REPLY"] >= 1
    assert commits == sorted(commits)
    print(f"{name}: {seen}")


def recorded(name: str) -> Iterator[Any]:
    """Every session message that an application sent, once."""
    codec, parser = WireCodec(), InboundParser(1)
    for row in rows(name):
        if row.to_node:
            record = parser.parse(row.data)
            if isinstance(record, Frame):
                yield codec.decode(record)


def founded(now: float) -> MlsSession:
    made = joining(now)
    made.create()
    return made


def joining(now: float) -> MlsSession:
    made = session(TRANSCRIPT_SECRET, now)
    made.credential(
        make_token(TRANSCRIPT_SECRET.encode(), "org/default/test_x", int(now), bytes(12), made.claims())
    )
    made.key_package()
    return made
