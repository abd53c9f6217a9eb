"""What a committer takes from the proposals of an epoch, and what it leaves out (RFC 9420, 12.2).

Anybody may have said them, in some groups outsiders too; one that cannot stand in a commit must not keep all
others from it. So they are told apart by the rules for lists first, and should the rest not be applicable
together, it is tried one after the other. What the committer itself chooses is not left out: if that is
wrong, its caller is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from identity.mls import validation
from identity.mls.authentication_service import AuthenticationService
from identity.mls.errors import KeyUnavailable, MlsError, ValidationError
from identity.mls.group_state import PskLookup
from identity.mls.proposal import ExternalInit, GroupContextExtensions, PreSharedKey, ReInit, Remove, Update
from identity.mls.proposal_list import Application, GroupView, Proposed, apply_proposals, in_order
from identity.record import record


@record
class LeftOut(NamedTuple):
    """A pending proposal that a commit does not hold, and why."""

    proposed: Proposed
    error: MlsError


def choose(
    group: GroupView,
    pending: Sequence[Proposed],
    chosen: Sequence[Proposed],
    identity: AuthenticationService,
    lookup: PskLookup,
    now: float,
) -> tuple[list[Proposed], list[LeftOut]]:
    """The list for a commit that holds `chosen` and what it can of `pending`; then what it leaves out.

    Raises ValidationError when it is one of the `chosen` that cannot be committed.
    """
    if not pending:
        return list(chosen), []
    assert group.own_leaf is not None
    selection = _Selection(chosen, group.own_leaf, lookup)
    kept = selection.kept(pending)
    if kept:
        try:
            applied = apply_proposals(group, [*kept, *chosen], identity, now, committing=True)
            validation.members_agree(applied.tree.index, applied.extensions)
        except MlsError:
            kept = _applicable(group, kept, chosen, identity, now, selection.left_out)
    return [*kept, *chosen], selection.left_out


class _Selection:
    """What the rules for lists allow beside `chosen`.

    Of several changes to a leaf a Remove counts, else the last Update; of several new extensions the first; a
    ReInit, which stands alone, only when there is nothing else.
    """

    def __init__(self, chosen: Sequence[Proposed], committer: int, lookup: PskLookup) -> None:
        self.left_out: list[LeftOut] = []
        self._committer = committer
        self._lookup = lookup
        self._others = len(chosen)
        self._changed = {p.proposal.removed for p in chosen if isinstance(p.proposal, Remove)}
        self._psks = {p.proposal.psk for p in chosen if isinstance(p.proposal, PreSharedKey)}
        self._extended = any(isinstance(p.proposal, GroupContextExtensions) for p in chosen)
        self._ended = any(isinstance(p.proposal, ReInit) for p in chosen)

    def kept(self, pending: Sequence[Proposed]) -> list[Proposed]:
        """Those that can stand in the commit, in their order; the others are in `left_out`."""
        reasons: dict[int, MlsError | None] = {}
        updates = [number for number, p in enumerate(pending) if isinstance(p.proposal, Update)]
        endings = [number for number, p in enumerate(pending) if isinstance(p.proposal, ReInit)]
        last = {*updates, *endings}
        first = [number for number in range(len(pending)) if number not in last]
        for number in (*first, *reversed(updates), *endings):
            reasons[number] = reason = self._conflict(pending[number])
            self._others += reason is None
        for number, proposed in enumerate(pending):
            error = reasons[number]
            if error is not None:
                self.left_out.append(LeftOut(proposed, error))
        return [proposed for number, proposed in enumerate(pending) if reasons[number] is None]

    def _conflict(self, proposed: Proposed) -> MlsError | None:
        """Why a proposal cannot be taken beside those taken already."""
        if self._ended:
            return ValidationError("reinit_alone", "a ReInit is committed, which stands alone")
        match proposed.proposal:
            case Remove(leaf) if leaf == self._committer:
                return ValidationError("removes_committer", "a committer cannot remove itself")
            case Remove(leaf):
                return self._change(leaf)
            case Update() if proposed.sender.index == self._committer:
                return ValidationError("own_update", "a committer renews its leaf by a path")
            case Update():
                return self._change(proposed.sender.index)
            case PreSharedKey(psk) if psk in self._psks:
                return ValidationError("distinct_psks", "the same PSK is committed already")
            case PreSharedKey(psk):
                if self._lookup(psk) is None:
                    return KeyUnavailable("pre-shared key", "the committer does not hold it")
                self._psks.add(psk)
            case GroupContextExtensions() if self._extended:
                problem = "other extensions are committed already"
                return ValidationError("one_group_context_extensions", problem)
            case GroupContextExtensions():
                self._extended = True
            case ExternalInit():
                return ValidationError("external_init", "an ExternalInit in a member's commit")
            case ReInit() if self._others:
                return ValidationError("reinit_alone", "a ReInit beside other proposals")
        return None

    def _change(self, leaf: int) -> MlsError | None:
        if leaf in self._changed:
            return ValidationError("one_change_per_leaf", f"another change to leaf {leaf} is committed")
        self._changed.add(leaf)
        return None


def _applicable(
    group: GroupView,
    pending: Sequence[Proposed],
    chosen: Sequence[Proposed],
    identity: AuthenticationService,
    now: float,
    left_out: list[LeftOut],
) -> list[Proposed]:
    """What can be applied one after the other, the `chosen` first among their like.

    The rest is added to `left_out`. Raises what is wrong with one of the `chosen`.
    """
    application = Application(group, identity, now, committing=True, strict=True)
    optional = {id(proposed) for proposed in pending}
    dropped = set()
    for proposed in in_order([*chosen, *pending]):
        try:
            application.apply(proposed)
        except MlsError as error:
            if id(proposed) not in optional:
                raise
            left_out.append(LeftOut(proposed, error))
            dropped.add(id(proposed))
    return [proposed for proposed in pending if id(proposed) not in dropped]
