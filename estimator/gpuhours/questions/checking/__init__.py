"""Check a document: treat its figures as measurements, test them against identities, and explain any contradiction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuhours.questions.checking.verdict import check as check


def __getattr__(name: str) -> Any:
    """Import ``gpuhours.questions.checking.check`` on first access."""
    if name != "check":
        raise AttributeError(f"module 'gpuhours.questions.checking' has no attribute {name!r}")
    from gpuhours.questions.checking.verdict import check

    return check
