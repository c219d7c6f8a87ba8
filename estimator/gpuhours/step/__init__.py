"""One optimiser step, from first principles: what every rank computes and sends, put on a schedule."""

from gpuhours.step.breakdown import PARTS, Step
from gpuhours.step.predict import step

__all__ = ["PARTS", "Step", "step"]
