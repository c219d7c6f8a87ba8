"""Predictions against measurements: the rows of a table, scored."""

from gpuhours.questions.validating.report import Judged, Validation, validate

__all__ = ["Judged", "Validation", "validate"]
