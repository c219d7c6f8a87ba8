"""The two messages for a user: the input is wrong, or the answer is no."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EstimateError(Exception):
    """Something a user can fix.

    ``where``    file, line and key: ``run.yaml:7:12  hardware.accelerator = 'h100_smx'``
    ``problem``  what is wrong with it
    ``hint``     what to do about it
    """

    def __init__(self, problem: str, hint: str = "", where: str = "") -> None:
        self.problem = problem
        self.hint = hint
        self.where = where
        super().__init__("\n".join(line for line in (where, problem, hint) if line))


class Contradiction(EstimateError):
    """What was given is contradictory: the answer is no; the input is not malformed.

    ``value`` is the impossible figure, if there is one.
    """

    def __init__(self, problem: str, hint: str = "", where: str = "", value: float | None = None) -> None:
        super().__init__(problem, hint, where)
        self.value = value


class UnitError(ValueError):
    """A text that is not a quantity, or one of the wrong dimension. Pydantic adds the key."""


def nearest(name: str, known: Iterable[str], near: float = 0.5) -> str:
    """``"Did you mean 'h100-sxm-80gb'?"``, or empty if no known name is close."""
    lowered = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower().replace("_", "-"), lowered, n=1, cutoff=near)
    return f"Did you mean {lowered[match[0]]!r}?" if match else ""
