"""Calibration to a machine from its measured steps: the best-matching stack and network, a correction factor, and the error range."""

from gpuhours.questions.calibrating.calibrating import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
