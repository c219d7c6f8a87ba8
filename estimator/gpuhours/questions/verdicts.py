"""The verdicts, common to ``check`` and ``reproduce``.

For a figure: ``agrees``, ``contradicted``, ``not determined``, or None if there is nothing to judge. For a text, a table or one of its
runs: ``consistent``, ``contradicted`` or ``not determined``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

AGREES: Final = "agrees"
CONTRADICTED: Final = "contradicted"
NOT_DETERMINED: Final = "not determined"
CONSISTENT: Final = "consistent"


def of_whole(verdicts: Iterable[str | None]) -> str:
    """The overall verdict from those of figures or runs: contradicted if one is, consistent if one agrees."""
    kinds = set(verdicts)
    if CONTRADICTED in kinds:
        return CONTRADICTED
    return CONSISTENT if kinds & {AGREES, CONSISTENT} else NOT_DETERMINED
