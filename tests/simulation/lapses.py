"""What happens to tokens: they are not renewed for a while, their issuer signs with another key, a secret is
replaced."""

from __future__ import annotations

import asyncio

from gateway.testing import Issuer
from tests.simulation.faults import Faults
from tests.simulation.scenario import Step
from tests.simulation.stage import Member, Stage

SHOWN_AGAIN = 35.0
"""Seconds within which a good issuer does not change its key twice: verifiers ask for keys that they lack
each half minute (`identity.key_cache`)."""
NOT_MISSED = 9.0
"""Seconds for which an issuer may be away and nothing shows: a token lives for five when it is to be renewed,
and what is said without one is sent again for nine."""
BACK = -7200.0
"""Seconds by which a clock is set back that takes a token of long ago for a new one."""


class Lapses:
    """A method for each."""

    def __init__(self, stage: Stage, faults: Faults) -> None:
        self._stage, self._faults = stage, faults
        self._world = stage.world
        self._secrets = 0
        self._new_key_at = -SHOWN_AGAIN

    @property
    def _issuer(self) -> Issuer:
        assert self._stage.issuer is not None
        return self._stage.issuer

    def do_new_key(self, step: Step) -> None:
        """The issuer signs with a new key; where faults are drawn, the old one may be withdrawn at once."""
        if self._stage.scenario.profile.faults:
            self._issuer.rotate(keep=step.two % 2 == 0)
        elif self._world.now - self._new_key_at >= SHOWN_AGAIN:
            self._new_key_at = self._world.now
            self._issuer.rotate()

    def do_no_issuer(self, step: Step) -> None:
        """It is away, and tokens that run out meanwhile come before what was said is given up."""
        # Behind a new key verifiers need it: they ask in vain less and less often.
        if self._world.now - self._new_key_at < SHOWN_AGAIN:
            return
        self._faults.begin(self._faults.restarted(self._issuer.host, step.time % NOT_MISSED, loudly=True))

    def do_unissued(self, step: Step) -> None:
        """Nobody reaches the issuer, or one does not, with or without being told."""
        host, faults, member = self._issuer.host, self._faults, self._stage.member(step.one)
        if step.size == 1:
            faults.begin(faults.restarted(host, step.time, loudly=step.two == 0))
        elif step.size == 2 and host.up:
            faults.begin(faults.frozen(host, step.time))
        elif member is not None:
            line = self._world.line(member.host, host)
            faults.begin(faults.broken(line, line.cut if step.two else line.stall, step.time))

    def do_refused(self, step: Step) -> None:
        """An application is given no token for a while."""
        member = self._stage.member(step.one)
        if member is not None:
            self._faults.begin(self._refused(member, step.time))

    async def _refused(self, member: Member, seconds: float) -> None:
        self._issuer.refuse(str(member.name))
        await asyncio.sleep(seconds)
        self._issuer.allow(str(member.name))

    def do_behind(self, step: Step) -> None:
        """A clock is set back, and there is no new token: the old one is shown for as long as that lasts."""
        member = self._stage.member(step.one)
        if member is not None:
            self._faults.begin(self._refused(member, step.time))
            self._faults.begin(self._faults.skewed(member.host, BACK, step.time))

    def do_new_secret(self, step: Step) -> None:
        """All change the secret: first everybody takes both, then everybody shows the new one."""
        self._secrets += 1
        secret = f"secret number {self._secrets} of all who are in this scenario"
        for member in self._stage.cast:
            if member.host.up:
                now = member.host.wall()
                member.identity[1].replace_secret(
                    secret, now=now, overlap=self._stage.scenario.profile.lifetime
                )
        for member in self._stage.cast:
            if member.host.up:
                member.identity[0].replace_secret(secret)
