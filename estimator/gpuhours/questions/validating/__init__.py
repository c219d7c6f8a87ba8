"""Predicted against measured: the rows of a table, judged."""

from gpuhours.questions.validating.report import Judged, Validation, validate

__all__ = ["Judged", "Validation", "validate"]
