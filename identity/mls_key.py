"""Whether a token has to vouch for the key of its MLS leaf (`identity.md` 1.1).

    bound     the token carries the key (`pubkey`): who shows it holds the key that signs
    unbound   the token is taken without: whoever has the token, a node on its way too, can join in its name

"bound" is what protects; "unbound" is what SLIM did up to 0.6.3 with tokens that somebody else issues.
"""

from __future__ import annotations

import warnings
from functools import cache

from identity.errors import ConfigError

BOUND = "bound"
UNBOUND = "unbound"


def is_unbound(mls_key: str) -> bool:
    """Whether the argument says "unbound". Raises ConfigError."""
    if mls_key not in (BOUND, UNBOUND):
        raise ConfigError(f'mls_key: "{BOUND}" or "{UNBOUND}", got {mls_key!r}', field="mls_key")
    return mls_key == UNBOUND


@cache
def warn_of_unbound() -> None:
    """Said when such a token is first used for a leaf, once per process."""
    warnings.warn(
        "an encrypted session takes tokens that vouch for no MLS key: what is said is hidden from nodes that "
        "pass it on, but not from one that joins with a token it saw (SharedSecret, Jwt and Spire vouch)",
        stacklevel=1,
    )
