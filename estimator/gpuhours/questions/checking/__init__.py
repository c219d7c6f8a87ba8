"""Checking a document: its figures as measurements, the identities between them, and what explains a contradiction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpuhours.questions.checking.verdict import check as check


def __getattr__(name: str) -> Any:
    """``gpuhours.questions.checking.check``, imported when it is first asked for."""
    if name != "check":
        raise AttributeError(f"module 'gpuhours.questions.checking' has no attribute {name!r}")
    from gpuhours.questions.checking.verdict import check

    return check
