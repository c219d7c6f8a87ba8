"""Carbon intensity of electricity, by country and year."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gpuhours.inputs.errors import nearest
from gpuhours.inputs.profile_folders import Unknown, profile_folders
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.units import measured_in
from gpuhours.inputs.yaml_files import ReadOnce, Section, read_yaml, validated

YEARS_APART = 3
"""Maximum distance in years between a country's nearest data and the requested year: grids change slowly."""

JOULE_PER_KWH = 3.6e6


class Country(Section):
    """One country's grid."""

    name: str
    also: tuple[str, ...] = ()
    """Other names and codes."""
    intensity: dict[int, Annotated[float, measured_in("gCO2e/kWh", positive=False)]] = Field(min_length=1)
    """Year -> gCO2e per kWh."""


class GridTable(Section):
    """One published data set: a file of ``hardware_specs/grids``."""

    title: str
    source: Annotated[str, Field(min_length=4)]
    note: str = ""
    countries: dict[str, Country]
    """By three-letter ISO 3166 code."""


@dataclass(frozen=True)
class GridIntensity:
    """A country's grid in one year."""

    code: str
    country: str
    year: int
    intensity: float
    """gCO2e per joule."""
    source: str


@ReadOnce
def _read(path: Path) -> GridTable:
    return validated(GridTable, read_yaml(path))


def _tables() -> list[GridTable]:
    """The user's tables first, then the included ones, each in descending order of file name."""
    paths = [path for folder in profile_folders() for path in sorted((folder / "grids").glob("*.yaml"), reverse=True)]
    return [_read(path) for path in paths]


def countries() -> dict[str, Country]:
    """Every known country, by code; newer tables take precedence."""
    return {code: country for table in reversed(_tables()) for code, country in table.countries.items()}


def _find_country(name: str) -> tuple[str, Country, GridTable] | Unknown:
    """Find a country by name, ISO code of two or three letters, or another common name."""
    wanted, names = name.strip().lower(), list[str]()
    for table in _tables():
        for code, country in table.countries.items():
            if wanted in (alias.lower() for alias in (code, country.name, *country.also)):
                return code, country, table
            names.append(country.name)
    hint = nearest(name, names) or f"{len(names)} are known; 'World' is the average."
    return Unknown(f"no grid intensity is known for the country {name!r}. {hint}")


def grid(name: str, year: int | None = None) -> GridIntensity | Unknown:
    """A country's carbon intensity (gCO2e per J) in a year, or in the nearest year at most 3 years away (``YEARS_APART``); the newest if no
    year is given."""
    named = _find_country(name)
    if isinstance(named, Unknown):
        return named
    code, country, table = named
    years = sorted(country.intensity)
    nearest_year = years[-1] if year is None else min(years, key=lambda known: abs(known - year))
    if year is not None and abs(nearest_year - year) > YEARS_APART:
        return Unknown(f"the grid of {country.name} is known for {years[0]} to {years[-1]}, not for {year}")
    return GridIntensity(
        code, country.name, nearest_year, country.intensity[nearest_year] / JOULE_PER_KWH, table.source
    )
