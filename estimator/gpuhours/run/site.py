"""What a machine's own steps have said of it: the file that ``gpuhours calibrate`` writes, and how a run takes it over.

A site names, for each stack that its runs state, the shipped profile and network that their steps were likeliest to be of, how much of
what remained carries over to other steps, and how far these may still be off.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gpuhours.hardware.kernel_constants import list_networks
from gpuhours.inputs.errors import nearest
from gpuhours.inputs.units import Seconds, measured_in
from gpuhours.inputs.yaml_files import Section, read_yaml, validated
from gpuhours.software.matching import software_named
from gpuhours.software.profile import known_as, list_software

QUANTILE = 1.5
"""Standard deviations to the 10th and 90th percentile of what a site's other steps take: of 80 % of them, every open source left out in
turn and weighing the same (``tests/benchmarks/calibrate.py``; 1.28 were they normal)."""


def _profile(name: str) -> str:
    if known_as(name) is None and not name.endswith((".yaml", ".yml")):
        raise ValueError(f"is no software profile. {nearest(name, list_software())}".strip())
    return name


def _network(name: str | None) -> str | None:
    if name is not None and name not in list_networks():
        raise ValueError(f"is no network. Known: {', '.join(list_networks())}.")
    return name


ProfileName = Annotated[str, AfterValidator(_profile)]
NetworkName = Annotated[str | None, AfterValidator(_network)]
MEASURED = 0.02
"""What a step that was read off its log is off by when the same run takes it again: a standard deviation of logarithms."""
Spread = Annotated[float, measured_in("", positive=False, most=3.0)]
Factor = Annotated[float, measured_in("", most=10.0)]


class StepMet(Section):
    """One of the steps that made a site."""

    name: str
    """Where it was measured: a run, a log, a row of a table."""
    measured: Seconds
    """What it took."""
    stated: Seconds
    """Predicted as the run states its stack."""
    predicted: Seconds
    """Predicted on what was chosen, its factor included."""
    left_out: Seconds | None = None
    """The same, chosen by the other steps alone; none where there are no others."""
    of: str = ""
    """What it was a step of: model, samples, batch, machine and layout as its run says them, as a digest."""


class StackMet(Section):
    """What the steps of one stack say."""

    stated: ProfileName
    """The profile that the runs name, or that was taken where they name none."""
    software: ProfileName
    """The profile that their steps are likeliest to be of."""
    network: NetworkName = None
    """The network between nodes that they are likeliest to be of, where it is not what the runs say."""
    factor: Factor = 1.0
    """Step time over what profile and network predict, as far as it carries over to other steps."""
    own: Spread
    """What steps are off each by itself: a standard deviation of logarithms."""
    shared: Spread
    """What all of them may still be off together: likewise."""
    usual: Annotated[float, measured_in("", most=3.0)]
    """What is usual for such runs of a source that nobody has seen, likewise."""
    accelerator: str
    """What the steps ran on."""
    kind: str = "dense"
    """What was trained: factor and range hold for the same accelerator and kind."""
    why: str = ""
    """Why it was chosen."""
    steps: Annotated[tuple[StepMet, ...], Field(min_length=1)]
    """The steps that say so."""
    here: Seconds | None = None
    """What a step of the very run that is asked of takes, where it was measured: it takes the place of the prediction. ``factor`` and
    ranges, which are cautious, are for other runs."""

    def limits(self, usual: float) -> tuple[float, float]:
        """Factors on a predicted step, 10th and 90th percentile; on a measured one of the same run, where there is one.

            exp(-+ q sqrt(own^2 + shared^2) max(1, usual / usual of its steps))        another run
            exp(-+ q MEASURED)                                                         this very run

        ``usual`` is the error that is usual for the run that is asked of (``run.conformal``): one newer than the site's own steps is less
        sure in the same proportion.
        """
        spread = MEASURED if self.here is not None else math.hypot(self.own, self.shared) * max(1.0, usual / self.usual)
        return math.exp(-QUANTILE * spread), math.exp(QUANTILE * spread)

    def measured(self, of: str) -> float | None:
        """s of a step of the run with this digest, the middle one of several; None where none was measured."""
        seconds = sorted(one.measured for one in self.steps if of and one.of == of)
        return seconds[len(seconds) // 2] if seconds else None

    @property
    def words(self) -> str:
        """How far its steps were from the prediction, and how much of that other runs are taken to share."""
        off = sorted(one.measured * self.factor / one.predicted for one in self.steps)
        steps = (
            f"{len(off)} measured step{'s' if len(off) > 1 else ''} took x {off[len(off) // 2]:.3g} of the prediction"
        )
        return f"{steps}; runs that differ from {'these' if len(off) > 1 else 'it'} are taken to share x {self.factor:.3g} of that"

    def speaks_for(self, software: str, accelerator: str, kind: str) -> bool:
        """Whether factor and range hold for a run."""
        return (software, accelerator, kind) == (self.software, self.accelerator, self.kind)


class Site(Section):
    """The whole file."""

    made: str = ""
    """When and by which version and constants."""
    stacks: tuple[StackMet, ...] = Field(min_length=1)
    """Each stack that its runs state, and what their steps say of it (``gpuhours calibrate LOG run.yaml -o site.yaml`` writes them)."""
    name: str = ""
    """Where it was read from."""


def carried_words(site: Site | None) -> list[str]:
    """What a screen about other runs says of a site: one line a stack."""
    return [] if site is None else [f"{site.name or 'site'}: {one.words}" for one in site.stacks]


def read_site(path: Path | str) -> Site:
    """A file that ``gpuhours calibrate`` wrote, or one in its form; one in another form raises ``EstimateError``."""
    source = read_yaml(path)
    return validated(Site, source).model_copy(update={"name": source.name})


def _read(value: Any) -> Any:
    return read_site(value) if isinstance(value, str | Path) else value


SiteFile = Annotated[Site | None, BeforeValidator(_read, json_schema_input_type=Site | str | None)]
"""A site, or the path of its file."""


def stack_of(site: Site, software: str | None) -> StackMet | None:
    """What a site says of the stack that a run names."""
    if software is None:
        return max(site.stacks, key=lambda one: len(one.steps))
    name = software_named(software)[0]
    name = known_as(name) or name
    return next((one for one in site.stacks if known_as(one.stated) == name or one.stated == name), None)
