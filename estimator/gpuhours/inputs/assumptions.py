"""Values that are assumed because the input does not state them; they are always reported."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gpuhours.inputs.records import dataclass


@dataclass(frozen=True)
class Assumption:
    """One assumed value, and the reason for it.

    ``name`` is the key that overrides it (``model.ffn_hidden``); ``value`` is a number or a word.
    """

    name: str
    value: Any
    unit: str
    reason: str
    source: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON object under ``assumptions``."""
        return asdict(self)
