"""Predicted against measured: the rows of a table, judged."""

from gpuhours.validation.report import Judged, Validation, validate

__all__ = ["Judged", "Validation", "validate"]
