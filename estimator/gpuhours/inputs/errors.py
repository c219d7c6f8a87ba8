"""Errors reported to a user: invalid input, and input that contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable

from gpuhours.inputs.visible import visible


class EstimateError(Exception):
    """An error that the user can fix.

    ``where``    file, line and key: ``run.yaml:7:12  hardware.accelerator = 'h100_smx'``
    ``problem``  what is wrong with it
    ``hint``     what to do about it
    """

    def __init__(self, problem: str, hint: str = "", where: str = "") -> None:
        self.problem = problem
        self.hint = hint
        self.where = where
        super().__init__(visible("\n".join(line for line in (where, problem, hint) if line)))


class Contradiction(EstimateError):
    """The input is well-formed but contradicts itself.

    ``value`` is the impossible value, if there is one.
    """

    def __init__(self, problem: str, hint: str = "", where: str = "", value: float | None = None) -> None:
        super().__init__(problem, hint, where)
        self.value = value


class UnitError(ValueError):
    """A text that is not a quantity, or a quantity of the wrong dimension. Pydantic adds the key."""


def nearest(name: str, known: Iterable[str], near: float = 0.5) -> str:
    """A suggestion such as ``"Did you mean 'h100-sxm-80gb'?"``; empty if the similarity of every known name is below ``near``."""
    import difflib  # takes a fiftieth of the time until --help appears

    lowered = {candidate.lower(): candidate for candidate in known}
    match = difflib.get_close_matches(name.lower().replace("_", "-"), lowered, n=1, cutoff=near)
    return f"Did you mean {lowered[match[0]]!r}?" if match else ""
