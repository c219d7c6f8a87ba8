"""Typical values and stack constants that exclude one organisation, for scoring its whole runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from gpuhours.questions.validating.leaving_out import software_without
from gpuhours.questions.validating.sources import sources, system_of
from gpuhours.questions.validating.totals_rows import owner
from gpuhours.run.remainder import table
from gpuhours.run.samplable import Practice, Samplable, described, usual_practice, with_gpus
from gpuhours.run.spec import Run
from gpuhours.run.typical import Typical, typical
from gpuhours.software.profile import Software, load_software

LINES = ("stacks", "recompute", "layout")
WEIGHED = ("stacks", "recompute")


@cache
def practice_without(organisation: str) -> Practice:
    """Typical values without an organisation: lines of ``typical.yaml`` that its hours determined (``fitted_on``) and its own runs among
    those that weights count are removed, the typical number of accelerators is that of other organisations' runs, and stack constants
    fitted on its measured steps are replaced as in ``leaving_out``."""
    return Practice(_table_without(organisation), partial(_stack_without, organisation))


def _table_without(organisation: str) -> Typical:
    known = typical()
    kept: dict[str, Any] = {
        name: tuple(line for line in getattr(known, name) if organisation not in line.fitted_on) for name in LINES
    }
    for name in WEIGHED:
        kept[name] = tuple(line.without(lambda named: owner(named) == organisation) for line in kept[name])
    others: Mapping[str, float] = table()["accelerators"]
    if organisation in others:
        kept["accelerators"] = known.accelerators.model_copy(update={"gpus": others[organisation]})
    return known.model_copy(update=kept)


@cache
def systems_measured_by(organisation: str) -> frozenset[str]:
    """Systems of measured steps that an organisation published, by their titles."""
    return frozenset(system_of(one.title) for one in sources().values() if owner(one.title) == organisation)


@cache
def _stack_without(organisation: str, name: str) -> Software:
    """A profile with constants that exclude every system that an organisation measured."""
    known = load_software(name)
    for system in sorted(systems_measured_by(organisation)):
        apart, left = software_without(name, system)
        if left:
            own = load_software(name)
            changed = {
                group: value
                for group in Software.model_fields
                if (value := getattr(apart, group)) != getattr(own, group)
            }
            known = known.model_copy(update=changed)
    return known


def concerned(run: Run, practice: Practice) -> bool:
    """Whether a run would be sampled differently with this practice than with the included one."""
    known, other = (_samplable(run, one) for one in (usual_practice(), practice))
    if known is None or other is None:
        return known is not other
    same = all(getattr(known, name) == getattr(other, name) for name in ("stacks", "modes", "slack"))
    fleet = known.run.hardware.gpus == other.run.hardware.gpus
    return not (same and fleet and all(practice.software(name) == load_software(name) for name in known.names))


def _samplable(run: Run, practice: Practice) -> Samplable | None:
    return described(with_gpus(run, practice)[0], practice)
