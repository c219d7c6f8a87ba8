"""Characters that a reader cannot see."""

from __future__ import annotations

import re
from functools import cache


@cache
def _unseen() -> re.Pattern[str]:
    """Characters that move the cursor, change the text direction or are invisible; they are escaped in all output."""
    return re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with invisible characters escaped: ``\\u202e``."""
    if text.replace("\n", "").isprintable():  # nearly all text: the pattern takes longer to compile than all else here
        return text
    return _unseen().sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)
