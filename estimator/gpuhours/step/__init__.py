"""Prediction of one optimiser step from first principles: compute and communication of every rank on the pipeline schedule."""

from gpuhours.step.breakdown import PARTS, Step
from gpuhours.step.hosts import over_hosts, step_and_hosts
from gpuhours.step.left_open import over_left_open
from gpuhours.step.predict import step

__all__ = ["PARTS", "Step", "over_hosts", "over_left_open", "step", "step_and_hosts"]
