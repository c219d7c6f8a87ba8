"""Figures of hardware profiles: numbers that require a unit and a source."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from gpuhours.inputs.units import Bandwidth, Bytes, Count, Rate, Watts, measured_in
from gpuhours.inputs.yaml_files import Section


class SourcedFigure(Section):
    """One number of a profile: its value in SI units, its source, and a note on how to read it."""

    unit: ClassVar[str] = ""

    value: float
    source: Annotated[str, Field(min_length=4)]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Value, unit, source and note."""
        return {"value": self.value, "unit": self.unit, "source": self.source, "note": self.note}


class RateFigure(SourcedFigure):
    """FLOP/s, dense."""

    unit: ClassVar[str] = "FLOP/s"
    value: Rate


class SizeFigure(SourcedFigure):
    """Bytes."""

    unit: ClassVar[str] = "byte"
    value: Bytes


class BandwidthFigure(SourcedFigure):
    """Bytes per second, one direction."""

    unit: ClassVar[str] = "byte/s"
    value: Bandwidth


class PowerFigure(SourcedFigure):
    """Watts."""

    unit: ClassVar[str] = "W"
    value: Watts


class ClockFigure(SourcedFigure):
    """Cycles per second."""

    unit: ClassVar[str] = "Hz"
    value: Annotated[float, measured_in("Hz")]


class CountFigure(SourcedFigure):
    """A count."""

    value: Count


class CarbonFigure(SourcedFigure):
    """gCO2e of manufacturing one device, cradle to gate."""

    unit: ClassVar[str] = "gCO2e"
    value: Annotated[float, measured_in("gCO2e")]

    def to_dict(self) -> dict[str, Any]:
        """Value, unit, source and note, with the value in tonnes, the unit of all JSON documents."""
        return {**super().to_dict(), "value": self.value / 1e6, "unit": "tCO2e"}


class MoneyFigure(SourcedFigure):
    """USD each."""

    unit: ClassVar[str] = "USD"
    value: Annotated[float, measured_in("USD")]


class Profile(Section):
    """Keys common to both kinds of hardware profile."""

    title: str
    also: tuple[str, ...] = ()
    """Other names."""
    note: str = ""
    embodied: CarbonFigure | None = None
    """Emissions of manufacturing one device; for a node, without its accelerators."""


def figures_of(profile: Profile) -> dict[str, SourcedFigure]:
    """The figures of a profile, by key."""
    return {key: value for key, value in profile if isinstance(value, SourcedFigure)}
