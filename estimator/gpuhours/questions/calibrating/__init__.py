"""Calibration from a machine's own steps: which stack and network they match, how far the prediction was off, and the resulting range."""

from gpuhours.questions.calibrating.calibrating import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
