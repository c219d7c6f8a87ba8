"""Calibration of a site from its own measured steps: the file that ``gpuhours calibrate`` writes, and how a run uses it.

For each stack that the measured runs state, a site records the included profile and network that best explain their steps, the part of
the residual that carries over to other steps, and the remaining uncertainty.
"""

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gpuhours.hardware.kernel_constants import list_networks
from gpuhours.inputs.errors import nearest
from gpuhours.inputs.units import Seconds, measured_in
from gpuhours.inputs.yaml_files import Section, read_yaml, validated
from gpuhours.software.matching import software_named
from gpuhours.software.profile import known_as, known_names

QUANTILE = 1.5
"""Distance of the 10th and 90th percentile from the median, in standard deviations, for a site's other steps: covers 80 % of them when
each open source is left out in turn and weighted equally (``tests/benchmarks/calibrate.py``; a normal distribution would give 1.28)."""


def _profile(name: str) -> str:
    if known_as(name) is None and not name.endswith((".yaml", ".yml")):
        raise ValueError(f"is not a software profile. {nearest(name, known_names())}".strip())
    return name


def _network(name: str | None) -> str | None:
    if name is not None and name not in list_networks():
        raise ValueError(f"is not a known network. Known: {', '.join(list_networks())}.")
    return name


ProfileName = Annotated[str, AfterValidator(_profile)]
NetworkName = Annotated[str | None, AfterValidator(_network)]
MEASURED = 0.02
"""Run-to-run variation of a step time measured from a log, when the same run is repeated: a standard deviation in log."""
Spread = Annotated[float, measured_in("", positive=False, most=3.0)]
Factor = Annotated[float, measured_in("", most=10.0)]


class CalibrationStep(Section):
    """One of the steps from which a site was calibrated."""

    name: str
    """Where it was measured: a run, a log, or a row of a table."""
    measured: Seconds
    """The measured step time."""
    stated: Seconds
    """Predicted with the run's stated stack."""
    predicted: Seconds
    """Predicted with the chosen stack, including its factor."""
    left_out: Seconds | None = None
    """``predicted`` with a calibration on the other steps only; None if there are no others."""
    of: str = ""
    """Digest of the run it was measured on (``spec.step_digest``): model, samples, batch, machine and layout as stated."""


class StackCalibration(Section):
    """The calibration from the steps of one stack."""

    stated: ProfileName
    """The profile that the runs name, or the default if they name none."""
    software: ProfileName
    """The profile that best explains their steps."""
    network: NetworkName = None
    """The network between nodes that best explains them, if it differs from the runs'."""
    factor: Factor = 1.0
    """The part of measured / predicted step time (with profile and network) that carries over to other steps."""
    own: Spread
    """Standard deviation in log of each step's independent error."""
    shared: Spread
    """Standard deviation in log of the error common to all steps."""
    usual: Annotated[float, measured_in("", most=3.0)]
    """Typical error in log for such runs from an unseen source."""
    accelerator: str
    """The accelerator of the steps."""
    kind: str = "dense"
    """The kind of model: factor and range apply to the same accelerator and kind."""
    why: str = ""
    """The reason for the choice."""
    steps: Annotated[tuple[CalibrationStep, ...], Field(min_length=1)]
    """The steps used."""
    here: Seconds | None = None
    """The measured step time of the same run that is being estimated, if any: it replaces the prediction. ``factor`` and the ranges, which
    are more conservative, apply to other runs."""

    def limits(self, usual: float) -> tuple[float, float]:
        """10th and 90th percentile of the factor on a predicted step time, or on the measured step time of the same run, if there is one.

            exp(-+ q sqrt(own^2 + shared^2) max(1, usual / usual of its steps))        another run
            exp(-+ q MEASURED)                                                         the same run

        q is ``QUANTILE``. ``usual`` is the typical error for the run being estimated (``run.conformal``): a run less similar to measured
        runs than the site's own steps gets a proportionally wider range.
        """
        spread = MEASURED if self.here is not None else math.hypot(self.own, self.shared) * max(1.0, usual / self.usual)
        return math.exp(-QUANTILE * spread), math.exp(QUANTILE * spread)

    def measured(self, of: str) -> float | None:
        """Measured step time in s of the run with the digest ``of``, the median of several; None if it was not measured."""
        seconds = sorted(one.measured for one in self.steps if of and one.of == of)
        return seconds[len(seconds) // 2] if seconds else None

    @property
    def words(self) -> str:
        """A sentence with the median measured / predicted step time, and the factor assumed for other runs."""
        off = sorted(one.measured * self.factor / one.predicted for one in self.steps)
        steps = (
            f"{len(off)} measured step{'s' if len(off) > 1 else ''} took x {off[len(off) // 2]:.3g} of the prediction"
        )
        return f"{steps}; for other runs x {self.factor:.3g} of that is assumed"

    def applies_to(self, software: str, accelerator: str, kind: str) -> bool:
        """Whether factor and range apply to a run with this stack, accelerator and kind of model."""
        return (software, accelerator, kind) == (self.software, self.accelerator, self.kind)


class Site(Section):
    """The whole file."""

    made: str = ""
    """Date, version and constants."""
    stacks: tuple[StackCalibration, ...] = Field(min_length=1)
    """The calibration of each stack that the measured runs state (``gpuhours calibrate LOG run.yaml -o site.yaml`` writes them)."""
    name: str = ""
    """The file from which the site was read."""


def carried_words(site: Site | None) -> list[str]:
    """Remarks about a site's calibration for the output of commands on other runs: one line per stack."""
    return [] if site is None else [f"{site.name or 'site'}: {one.words}" for one in site.stacks]


def read_site(path: Path | str) -> Site:
    """Read a site file, as ``gpuhours calibrate`` writes it; raises ``EstimateError`` for any other contents."""
    source = read_yaml(path)
    return validated(Site, source).model_copy(update={"name": source.name})


def _read(value: Any) -> Any:
    return read_site(value) if isinstance(value, str | Path) else value


SiteFile = Annotated[Site | None, BeforeValidator(_read, json_schema_input_type=Site | str | None)]
"""A site, or the path of its file."""


def stack_of(site: Site, software: str | None, year: int | None = None) -> StackCalibration | None:
    """The calibration for the stack that a run of ``year`` names; if it names none, the one with most steps; None if that stack is not
    calibrated."""
    if software is None:
        return max(site.stacks, key=lambda one: len(one.steps))
    name = software_named(software, year)[0]
    name = known_as(name) or name
    return next((one for one in site.stacks if known_as(one.stated) == name or one.stated == name), None)
