"""The names of the two roles."""

from __future__ import annotations

import pytest

from identity import protocols
from identity.protocols import KeysMissing


def test_the_former_name_of_keys_missing_warns() -> None:
    with pytest.warns(DeprecationWarning, match="KeysMissing"):
        assert protocols.WouldBlock is KeysMissing
    with pytest.raises(AttributeError, match="Anything"):
        protocols.Anything  # noqa: B018
