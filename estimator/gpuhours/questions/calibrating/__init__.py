"""What a machine's own steps say: which shipped stack and network they are, how far the prediction was off, and what the range becomes."""

from gpuhours.questions.calibrating.calibrating import Calibration, calibrate

__all__ = ["Calibration", "calibrate"]
