"""The MLS group of one session: `Crypto` on top of `identity.mls` (`session.md` 11).

Cipher suite 1; a fresh Ed25519 key for each session; the credential is a token with that key as claim
`pubkey`; commits are PublicMessages of the moderator, leaf 0, and of nobody else; the tree is in the Welcome.

What takes long, and where it runs. Almost everything takes a few milliseconds at most, at any size of the
group. But joining checks a signature per member, and a commit with a path (a Remove, a renewed credential)
seals once per member: 0.1 ms each, so 100 ms for 1,000 members, in which the process would do nothing else.
From a certain size on they run in a thread. Signature checks release the interpreter's lock, so that
joining gets faster, too; sealing does not, but the interpreter passes the lock on every 5 ms. The verifier of
the application is asked on the loop only, for a BATCH of members at a time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from actors.names import Name
from actors.session.commit_shape import check_commit
from actors.session.credentials import Credentials, Survey, half_life
from actors.session.crypto import Addition, ClearText, Computing, CryptoFactory, KeptGroup, Place
from actors.session.speakers import Speakers, check_subject
from identity.errors import AuthError, CryptoError
from identity.mls import (
    CommitApplied,
    Credential,
    Decrypted,
    Group,
    KeyPackageBundle,
    Occasion,
    PendingCommit,
    Removed,
    make_key_package,
    public_key_claim,
    suite,
    token_credential,
)
from identity.mls.errors import MlsError
from identity.mls.slim_identity import credential_token
from identity.protocols import KeysMissing, Verifier

SUITE = suite(1)
PAST_EPOCHS = 32
"""Epochs whose late messages can still be read: a lost message comes again as it was, however many members
have been added meanwhile. A higher number keeps the keys of messages that never came for longer."""
LARGE = 128
"""Members from which a commit with a path is made in a thread."""
LARGE_WELCOME = 48 * 1024
"""Bytes of a Welcome from which joining runs in a thread; a member takes about 400."""
BATCH = 64
"""Credentials of a large tree that are judged in one turn of the loop."""
RENEWAL_SERVES = 60.0
"""Seconds for which a credential that was granted for a commit may be put into one."""
THREADS = 4
MODERATOR = 0
"""The moderator's leaf: it founded the group and is never removed."""

_PRIVATE_MESSAGE = b"\x00\x01\x00\x02"


def mls_sessions(
    verifier: Verifier, *, wall: Callable[[], float], random: Callable[[int], bytes]
) -> CryptoFactory:
    """The factory of an application. `wall` tells Unix seconds, `random(n)` gives n bytes for keys."""
    return lambda: MlsSession(verifier, wall=wall, random=random)


class MlsSession:
    """One member's side of a session's group."""

    def __init__(
        self, verifier: Verifier, *, wall: Callable[[], float], random: Callable[[int], bytes]
    ) -> None:
        self._wall = wall
        self._random = random
        self._signer = SUITE.generate_signature_key(random)
        self._credentials = Credentials(verifier, self._signer.public)
        self._credential: Credential | None = None
        self._renewed: Credential | None = None
        """To take the place of ours with the next commit, if that comes soon."""
        self._granted_at = self._renew_at = 0.0
        """Unix seconds: between them nobody minds our newest credential."""
        self._moderates = False
        self._bundle: KeyPackageBundle | None = None
        self._group: Group | None = None
        self._speakers = Speakers()
        self._epoch: int | None = None
        self._fingerprint = ""

    def __repr__(self) -> str:
        return f"MlsSession({self._group!r})"

    @property
    def epoch(self) -> int | None:
        return self._epoch

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    # Our credential

    def wants_credential(self) -> bool:
        if self._credential is None:
            return True
        if not self._moderates or self._renewal() is not None:
            return False
        return self._renewed is not None or not self._granted_at <= self._wall() < self._renew_at

    def has_credential(self) -> bool:
        return self._credential is not None

    def claims(self) -> dict[str, Any]:
        return {"pubkey": public_key_claim(self._signer.public)}

    def credential(self, token: str) -> None:
        try:
            self._renew_at = half_life(token)
        except (AuthError, MlsError) as error:
            raise CryptoError("the identity provider's token cannot be a credential") from error
        self._granted_at = self._wall()
        credential = token_credential(token)
        if self._group is None:
            self._credential = credential
        elif credential != self._credential:
            self._renewed = credential

    # The moderator's side

    def create(self) -> None:
        with self._judging():
            group = Group.create(
                SUITE,
                self._signer,
                self._own_credential(),
                identity=self._credentials,
                now=self._wall(),
                random=self._random,
                past_epochs=PAST_EPOCHS,
            )
        self._moderates = True
        self._enter(group)

    def add(self, name: Name, key_package: bytes, subject: str | None = None) -> Computing[Addition]:
        def check(pending: PendingCommit) -> None:
            [leaf] = pending.effect.added
            check_subject(name, subject, pending.state.roster.identity_of(leaf))

        pending = yield from self._commit(check, add=[key_package])
        assert pending.welcome is not None
        self._speakers.place(name, *pending.effect.added)
        return Addition(pending.commit, pending.welcome)

    def remove(self, name: Name) -> Computing[bytes]:
        leaf = self._speakers.leaf_of(name)
        if leaf is None:
            raise CryptoError(f"{name} has no leaf in this group")
        pending = yield from self._commit(lambda _: None, remove=[leaf])
        self._speakers.leave([leaf])
        return pending.commit

    def _commit(
        self,
        check: Callable[[PendingCommit], None],
        *,
        add: Sequence[bytes] = (),
        remove: Sequence[int] = (),
    ) -> Computing[PendingCommit]:
        """Make a commit, and apply it unless `check` raises."""
        group, now = self._member(), self._wall()
        renewed = self._renewal()
        group.discard_pending()
        with self._judging():
            if len(self._speakers) >= LARGE and (remove or renewed is not None):
                # All that is to be judged is judged here; the thread finds it in the policy's memory.
                if renewed is not None:
                    own = group.leaf_node(group.own_leaf)
                    assert own is not None
                    self._credentials.identify(replace(own, credential=renewed), Occasion.ENTERS, now)
                if add:
                    group.commit(now=now, add=add)
                    group.discard_pending()
                yield Place.THREAD
                pending = group.commit(now=now, add=add, remove=remove, credential=renewed)
                yield Place.LOOP
            else:
                pending = group.commit(now=now, add=add, remove=remove, credential=renewed)
        if self._group is not group:
            raise CryptoError("the session has ended")
        check(pending)
        group.apply_pending(now=self._wall())
        if renewed is not None:
            self._credential, self._renewed = renewed, None
        self._enter(group)
        return pending

    # A participant's side

    def key_package(self) -> bytes:
        """Used once: the Welcome that fits it ends it."""
        self._bundle = make_key_package(
            SUITE, self._signer, self._own_credential(), random=self._random, now=self._wall()
        )
        return self._bundle.message

    def join(self, welcome: bytes, moderator: Name, subject: str | None = None) -> Computing[None]:
        bundle, now = self._bundle, self._wall()
        if bundle is None:
            raise CryptoError("no key package of ours waits for a Welcome")
        self._credentials.begin()
        if len(welcome) < LARGE_WELCOME:
            group = self._join(welcome, bundle, now, map)
            self._check_keys()
        else:
            survey = Survey()
            yield Place.THREAD
            Group.join(welcome, bundle, identity=survey, now=now, verify_many=_unverified)
            yield Place.LOOP
            for start in range(0, len(survey.leaves), BATCH):
                for leaf in survey.leaves[start : start + BATCH]:
                    self._credentials.identify(leaf, Occasion.IN_TREE, now)
                yield Place.LOOP
            self._check_keys()
            yield Place.THREAD
            with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
                group = self._join(welcome, bundle, now, pool.map)
            yield Place.LOOP
        if self._bundle is not bundle:
            raise CryptoError("the session has ended")
        check_subject(moderator, subject, group.members.get(MODERATOR, b""))
        self._speakers.place(moderator, MODERATOR)
        self._bundle = None
        self._enter(group)

    def _join(self, welcome: bytes, bundle: KeyPackageBundle, now: float, verify_many: Any) -> Group:
        return Group.join(
            welcome,
            bundle,
            identity=self._credentials,
            now=now,
            verify_many=verify_many,
            random=self._random,
            past_epochs=PAST_EPOCHS,
        )

    def process(self, commit: bytes, added: Name | None = None) -> None:
        group = self._member()
        check_commit(commit, MODERATOR)
        with self._judging():
            event = group.process(commit, now=self._wall())
        if isinstance(event, Removed):
            self._group = None
        elif isinstance(event, CommitApplied):
            self._speakers.leave(event.removed)
            if added is not None and event.added:
                self._speakers.place(added, *event.added)
            self._enter(group)

    # Messages

    def encrypt(self, blob: bytes) -> bytes:
        return self._member().encrypt(blob)

    def decrypt(self, source: Name, blob: bytes, subject: str | None = None) -> bytes:
        """Who wrote it is judged before its key is used up: another copy of it, in the right name, still
        opens."""
        if blob[:4] != _PRIVATE_MESSAGE:
            raise ClearText(source)

        def judge(opened: Decrypted) -> None:
            self._speakers.check(source, subject, opened.sender, opened.identity)

        return self._member().decrypt(blob, now=self._wall(), judge=judge).plaintext

    def wrote(self, source: Name, blob: bytes) -> bool:
        if blob[:4] != _PRIVATE_MESSAGE:
            return False
        return self._member().sender(blob, now=self._wall()) == self._speakers.leaf_of(source)

    # What is kept of it

    def kept(self) -> KeptGroup | None:
        if self._group is None:
            return None
        return KeptGroup(bytes(self._group.snapshot()), tuple(self._speakers))

    def resume(self, kept: KeptGroup, generation: int) -> None:
        try:
            group = Group.load(kept.snapshot, identity=self._credentials, random=self._random)
            group.skip_to(generation)
            own = group.leaf_node(group.own_leaf)
            assert own is not None
            self._signer = group.signer
            self._credential = own.credential
            self._renew_at = half_life(credential_token(own.credential))
        except (MlsError, AuthError, ValueError) as error:
            raise CryptoError("what was kept of the group cannot be gone on with") from error
        self._credentials.own_key = group.signer.public
        self._moderates = True
        for name, leaf in kept.speakers:
            self._speakers.place(name, leaf)
        self._enter(group)

    @property
    def generation(self) -> int:
        return 0 if self._group is None else self._group.generation

    def close(self) -> None:
        self._group = self._bundle = self._credential = self._renewed = None
        self._speakers.clear()
        self._credentials.begin()

    # Private

    def _renewal(self) -> Credential | None:
        """The credential that the next commit is to bring. What was granted for one that came to nothing may
        have run out since, or be dated by a clock that was set back: everybody would refuse that commit."""
        return self._renewed if 0 <= self._wall() - self._granted_at < RENEWAL_SERVES else None

    def _own_credential(self) -> Credential:
        if self._credential is None:
            raise CryptoError("no credential: the identity provider has not given a token yet")
        return self._credential

    def _member(self) -> Group:
        if self._group is None:
            raise CryptoError("not in a group")
        return self._group

    def _enter(self, group: Group) -> None:
        """The group is in a new epoch."""
        self._group, self._epoch = group, group.epoch
        self._fingerprint = fingerprint(group.epoch_authenticator)
        self._credentials.accept(group)

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """Around an operation that judges credentials: KeysWanted instead of KeysMissing."""
        self._credentials.begin()
        try:
            yield
        except KeysMissing:
            self._check_keys()
            raise

    def _check_keys(self) -> None:
        wanted = self._credentials.keys_wanted()
        if wanted is not None:
            raise wanted


def fingerprint(authenticator: bytes) -> str:
    """Forty digits for people to compare: a digest of the epoch authenticator (RFC 9420, 8.7)."""
    digest = hashlib.sha256(b"callboard epoch fingerprint" + authenticator).digest()
    return " ".join(f"{int.from_bytes(digest[i : i + 4], 'big') % 100_000:05}" for i in range(0, 32, 4))


def _unverified(check: Callable[[Any], bool], chunks: Sequence[Any]) -> Iterable[bool]:
    """For a first look at a tree that is checked in full afterwards."""
    return (True for _ in chunks)
