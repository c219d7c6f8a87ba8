"""The runs of a document: its own, the others in the text, and each as required by a figure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import Source
from gpuhours.questions.reproducing.descent import covered
from gpuhours.questions.reproducing.document import AskedFigure, Published
from gpuhours.run.overlays import put, revised
from gpuhours.run.spec import Run, from_source


def described(text: Published, figure: AskedFigure, name: str, source: Source) -> dict[str, Any]:
    """The description of a figure's run: the document's run ``name``, the figure's settings, and the given claims at their keys."""
    data = laid_out(text, name, figure.settings)
    for key, reading in text.readings.items():
        if not covered(key, figure.settings):
            put(data, key, reading.among[0])
    for given in figure.given:
        claim = text.claims[given]
        if not claim.key:
            raise EstimateError(
                f"The claim {given!r} has no key in a run.",
                "Give it one: key: known.gpu_hours.",
                source.name,
            )
        put(data, claim.key, claim.value)
    return data


def laid_out(text: Published, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The document's run ``name`` with some keys set, and its assumptions without their origins, which a run does not have."""
    data = revised(text.run, text.runs[name]) if name else copy.deepcopy(dict(text.run))
    supplied = data.setdefault("assumptions", {})
    if not isinstance(supplied, dict) or not all(isinstance(entry, dict) for entry in supplied.values()):
        raise EstimateError("must be a mapping of keys to values with reasons", "", "run.assumptions")
    for block in (supplied, *(stage.get("assumptions") or {} for stage in data.get("stages") or ())):
        for entry in block.values():
            entry.pop("from", None)
    for key, value in settings.items():
        for gone in [one for one in supplied if covered(one, {key: value})]:
            del supplied[gone]
        put(data, key, value)
    if text.year is not None:
        data.setdefault("year", text.year)
    return data


def as_run(text: Published, data: Mapping[str, Any], source: Source) -> Run:
    """The run for a description."""
    places = {key[1:]: place for key, place in source.places.items() if key[:1] == ("run",)}
    return from_source(Source(source.name, {"name": text.name, **data}, places))


def stated_ranges(text: Published, figure: AskedFigure, run: Run) -> Iterator[tuple[str, tuple[float, float, float]]]:
    """The ranges of the claims that a figure uses."""
    for name in figure.given:
        claim = text.claims[name]
        value = run.value(claim.key)
        if claim.exact or not isinstance(value, int | float):
            continue
        exact = claim.measured()
        if exact.sigma > 0:
            yield claim.key, (value * exact.low / exact.centre, value, value * exact.high / exact.centre)
