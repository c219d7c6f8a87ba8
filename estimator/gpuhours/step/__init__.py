"""One optimiser step from first principles: the compute and communication of every rank, put on a schedule."""

from gpuhours.step.breakdown import PARTS, Step
from gpuhours.step.predict import step

__all__ = ["PARTS", "Step", "step"]
