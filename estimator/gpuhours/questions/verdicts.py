"""The words of a verdict, the same in ``check`` and ``reproduce``.

Of a figure: ``agrees``, ``contradicted``, ``not determined``, or None where there is nothing to judge. Of a text, a table or one of its
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
    """The verdict on a whole from those of its figures or runs: contradicted where one is, consistent where one agrees."""
    kinds = set(verdicts)
    if CONTRADICTED in kinds:
        return CONTRADICTED
    return CONSISTENT if kinds & {AGREES, CONSISTENT} else NOT_DETERMINED
