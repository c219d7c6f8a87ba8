"""What was supplied because the input does not say it: never silently."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gpuhours.inputs.records import dataclass


@dataclass(frozen=True)
class Assumption:
    """One value that the input left open, and why this one was taken.

    ``name`` is the key a user sets to replace it (``model.ffn_hidden``); ``value`` a number or a word.
    """

    name: str
    value: Any
    unit: str
    reason: str
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object under ``assumptions``."""
        return asdict(self)
