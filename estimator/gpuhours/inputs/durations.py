"""Durations in seconds."""

from __future__ import annotations

from typing import Final

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
YEAR: Final = 365.25 * DAY
MONTH: Final = YEAR / 12
