"""Check that no figure is judged with inputs that are derived from it.

Every assumption, reading and setting of a figure names the claims it was derived ``from``, or the ``source`` outside the text that it is
based on. The search follows the keys that a figure uses back to the claims from which they derive. A document is refused if a figure's own
claim is among these or is restated by one of them, if an assumption leads back to no claim and no source, or if its reason quotes a claim's
figure, in any unit or in words, without naming the claim.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.units import magnitude
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.figures.tokens import Figure
from gpuhours.questions.reproducing.document import AskedFigure, Published, Reading
from gpuhours.questions.reproducing.origins import assumed_by_its_author, is_outside, refuse_bare, refuse_unfounded
from gpuhours.questions.reproducing.origins import used as origins_used
from gpuhours.run.overlays import keys_of, revised
from gpuhours.software.profile import Software, load_software

Supplied = Mapping[str, Mapping[str, Any]]
KNOWN, SITE = "known", "site"
SAME = {"known.days": "known.wall_clock"}
"""Keys of one result: the first is stored as the second."""
QUOTED_WITHIN = 0.01
"""Relative difference up to which a quantity in words quotes a claim's figure: conversions are rounded."""
EXACTLY = 1e-9
FLOPS = {"flop_days": "flop"}
"""Kinds of units that measure the same -> one of them."""


def ancestors(names: Iterable[str], edges: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Everything that ``names`` are derived from, directly or indirectly, including themselves."""
    above: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in above:
            above.add(name)
            queue += edges.get(name, ())
    return frozenset(above)


def depends_on(text: Published, figure: AskedFigure, name: str) -> tuple[str, ...]:
    """The claims that a figure, computed in the run ``name``, uses directly or through what is derived from them."""
    supplied = assumed(text, figure, name)
    used = {*figure.given, *figure.descends, *supplied, *profiles_claims(text, figure, name)}
    used |= {key for key in text.readings if not covered(key, figure.settings)}
    used |= stated_in_run(text, figure, name) | origins_used(text, figure, name)
    return tuple(sorted(ancestors(used, edges(text, supplied)) & text.claims.keys()))


def rests_on(text: Published, figure: AskedFigure, name: str) -> frozenset[str]:
    """What the author of a document chose for a figure: assumptions, readings, and keys that the text does not give in words."""
    chosen = {*assumed(text, figure, name), *(key for key in text.readings if not covered(key, figure.settings))}
    chosen |= assumed_by_its_author(text, origins_used(text, figure, name))
    chosen |= keys_of(figure.settings) if figure.source or figure.descends else set()
    blocks = OF_BLOCKS.get(figure.result)
    return frozenset(key for key in chosen if blocks is None or key.split(".")[0] in blocks)


OF_BLOCKS = {
    **dict.fromkeys(("parameters", "active_parameters", "trainable_parameters"), ("model",)),
    "nodes": ("hardware",), "attention_flops": ("model", "data", "training"),
}  # fmt: skip
"""Results that rest on some blocks of a run alone."""


def edges(text: Published, supplied: Supplied) -> dict[str, tuple[str, ...]]:
    """What each claim and each assumed key was derived from."""
    descends = {name: claim.descends for name, claim in text.claims.items()}
    descends |= {key: (*one.descends, *_quoted(one.words, text)) for key, one in text.origins.items()}
    descends |= {key: reading.descends for key, reading in text.readings.items()}
    return descends | {key: tuple(entry.get("from") or ()) for key, entry in supplied.items()}


def _quoted(words: str, text: Published) -> tuple[str, ...]:
    """The claims whose figures the words of a text contain."""
    return tuple(name for name, claim in text.claims.items() if quotes(words, claim.value, claim.unit))


def assumed(text: Published, figure: AskedFigure, name: str) -> dict[str, Mapping[str, Any]]:
    """The assumptions in effect in a figure's run: those that its settings do not replace."""
    data = revised(text.run, text.runs[name]) if name else text.run
    own = dict(data.get("assumptions") or {})
    for stage in data.get("stages") or ():
        own |= stage.get("assumptions") or {}
    return {key: entry for key, entry in own.items() if not covered(key, figure.settings)}


def stated_in_run(text: Published, figure: AskedFigure, name: str) -> frozenset[str]:
    """The claims whose key the figure's run or settings state: the figure's own, and those derived from other claims."""
    data = revised(text.run, text.runs[name]) if name else text.run
    keys = keys_of(data) | keys_of(figure.settings)
    met = {one for one, claim in text.claims.items() if claim.key and claim.key in keys}
    return frozenset(one for one in met if one == figure.claim or text.claims[one].descends)


def covered(key: str, settings: Mapping[str, Any]) -> bool:
    """Whether a key, or the block that contains it, is set for this figure."""
    return any(key == name or key.startswith(f"{name}.") for name in settings)


def profiles_claims(text: Published, figure: AskedFigure, name: str) -> Iterator[str]:
    """The claims that determined constants of the run's software profile."""
    data = revised(text.run, text.runs[name]) if name else text.run
    software = figure.settings.get("software", data.get("software"))
    if software is None:
        software = (assumed(text, figure, name).get("software") or {}).get("value")
    if software is not None:
        fitted = fitted_on(load_software(str(software)))
        for one in text.settles:
            if one.system in fitted:
                yield from one.claims


def fitted_on(software: Software) -> frozenset[str]:
    """The systems that determined any group of a profile's constants."""
    groups = (getattr(software, group) for group in type(software).model_fields)
    return frozenset(system for group in groups for system in getattr(group, "fitted_on", ()))


def refuse(text: Published, where: str) -> None:
    """Raise ``EstimateError`` if a document would judge a figure with inputs derived from it."""
    for data in (text.run, *text.runs.values(), *(figure.settings for figure in text.figures)):
        _well_formed(data, where)
    runs = {"": text.run, **{name: revised(text.run, above) for name, above in text.runs.items()}}
    for data in runs.values():
        for stage in (data, *(data.get("stages") or ())):
            _no_results(stage, where)
        _have_origins(data, {}, text, where)
    for key, reading in text.readings.items():
        _no_results({key: reading.among}, f"{where}, open")
        _has_an_origin(key, _entry(reading), text.run.get("assumptions") or {}, text, where)
    for figure in text.figures:
        for stage in (figure.settings, *(figure.settings.get("stages") or ())):
            _no_results(stage, f"{where}, figure {figure.label!r}")
        _have_origins(figure.settings, runs[figure.run].get("assumptions") or {}, text, where)
        _not_restated(text, figure, where)
        for name in (figure.run, figure.over) if figure.over else (figure.run,):
            if figure.claim is not None and figure.claim in depends_on(text, figure, name):
                raise EstimateError(
                    f"{figure.label!r} is compared with {figure.claim!r} using what is derived from it: {_path(text, figure, name)}.",
                    "Take that from a source outside the text, leave it open, or remove the claim.", where,
                )  # fmt: skip
    refuse_bare(text, where)
    refuse_unfounded(text, where)


def _not_restated(text: Published, figure: AskedFigure, where: str) -> None:
    """Refuse a figure that is given its own result, or the value that it is compared with, under the name of another claim."""
    if figure.claim is None:
        return
    own = text.claims[figure.claim]
    for name in sorted(ancestors(figure.given, edges(text, {})) & text.claims.keys()):
        other = text.claims[name]
        result = name in figure.given and SAME.get(other.key, other.key) == f"{KNOWN}.{figure.result}"
        twin = bool(own.unit) and other.unit == own.unit and magnitude(other.value) == magnitude(own.value)
        if result or twin:
            raise EstimateError(
                f"{figure.label!r} is compared with {figure.claim!r} and is given {name!r}, the same result.",
                f"Remove {name!r} from given.", where,
            )  # fmt: skip


def _well_formed(data: Mapping[str, Any], where: str) -> None:
    """Check that stages and assumptions are mappings, and origins lists of names."""
    stages = data.get("stages") or ()
    if not isinstance(stages, list | tuple) or not all(isinstance(stage, Mapping) for stage in stages):
        raise EstimateError("stages must be a list of mappings.", "See `gpuhours schema run`.", where)
    for one in (data, *stages):
        assumptions = one.get("assumptions") or {}
        if not isinstance(assumptions, Mapping):
            raise EstimateError(
                "assumptions must be a mapping of keys to values.", "See `gpuhours schema document`.", where
            )
        for key, entry in assumptions.items():
            origins = entry.get("from") or [] if isinstance(entry, Mapping) else None
            if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
                raise EstimateError(
                    f"The assumption {key} must be a mapping, its from: a list of names.",
                    "{value: .., reason: .., from: [..]}",
                    where,
                )


def _path(text: Published, figure: AskedFigure, name: str) -> str:
    """In words, the inputs of a figure that derive from its own claim."""
    supplied = assumed(text, figure, name)
    walk = edges(text, supplied)
    inputs = [*figure.given, *supplied, *text.readings]
    inputs += sorted(origins_used(text, figure, name))
    guilty = list(dict.fromkeys(key for key in inputs if figure.claim in ancestors([key], walk)))
    if figure.claim in figure.descends:
        guilty.append("its settings")
    if figure.claim in ancestors(stated_in_run(text, figure, name), walk):
        guilty.append("a figure that its run states")
    if figure.claim in set(profiles_claims(text, figure, name)):
        guilty.append("the constants of its software profile")
    return ", ".join(guilty)


def _no_results(data: Mapping[str, Any], where: str) -> None:
    """Refuse a run, setting or reading that states a result, under ``known``, or a site's calibration, which may rest on the run's own
    steps."""
    said = keys_of({key: value for key, value in data.items() if key not in ("assumptions", "stages")})
    said |= set(data.get("assumptions") or ())
    for key in sorted(said):
        if key.split(".")[0] in (KNOWN, SITE):
            raise EstimateError(
                f"{key} is a {'result' if key != SITE else 'calibration by results'}; a document's run must not contain any.",
                "State it under claims, and name it in given.",
                where,
            )


def _have_origins(data: Mapping[str, Any], supplied: Supplied, text: Published, where: str) -> None:
    """Check the assumptions of a run or setting and of its stages, with the ``supplied`` ones of the run that it changes."""
    for stage in (data, *(data.get("stages") or ())):
        own = stage.get("assumptions") or {}
        for key, entry in own.items():
            _has_an_origin(key, entry, {**supplied, **(data.get("assumptions") or {}), **own}, text, where)


def _entry(reading: Reading) -> Mapping[str, Any]:
    """A reading's reason, source and origins, as an assumption has them."""
    return {"reason": reading.reason, "source": reading.source, "from": reading.descends}


def _has_an_origin(key: str, entry: Mapping[str, Any], supplied: Supplied, text: Published, where: str) -> None:
    """Check that an assumption leads back to a claim or an external source, directly or through others (``supplied``), and quotes no claim
    without naming it."""
    entries = {**{name: _entry(reading) for name, reading in text.readings.items()}, **supplied, key: entry}
    origins = tuple(entry.get("from") or ())
    for name in origins:
        if name not in text.claims and name not in entries:
            raise EstimateError(f"{key} comes from {name!r}.", nearest(name, text.claims), where)
    reached = ancestors([key], edges(text, entries))
    if not any(
        name in text.claims or is_outside(str(entries.get(name, {}).get("source") or ""), text) for name in reached
    ):
        raise EstimateError(
            f"The assumption {key} does not say what it came from.",
            "Name the figures of the text that it is derived from (from: [..]), or a source outside the text that can be looked up "
            "(source: a page, arXiv number, DOI or profile).",
            where,
        )
    for name, claim in text.claims.items():
        if name not in reached and quotes(str(entry.get("reason", "")), claim.value, claim.unit):
            raise EstimateError(
                f"The assumption {key} quotes the figure {name!r} ({claim.value}) without naming it.",
                f"Add from: [{name}], or base it on something else.", where,
            )  # fmt: skip


def quotes(words: str, value: str | float, unit: str = "") -> bool:
    """Whether ``words`` contain a claim's figure, in its own unit or in another, in digits or spelled out: ``1.8M``, ``44.5 %``, ``0.445``,
    ``thirty days``. ``unit``: that of a bare number."""
    own = _figures(str(value))
    if len(own) == 1 and not own[0].unit and unit:
        own = _figures(f"{value} {unit}")
    return len(own) == 1 and any(_same(one, own[0]) for one in _figures(words))


def _figures(words: str) -> list[Figure]:
    """The figures of a text as ``check`` reads them; a hyphen before a unit (``720-h``) is read as a space."""
    return [one for one in scan(re.sub(r"(?<=\d)-(?=[A-Za-z])", " ", words)) if isinstance(one, Figure)]


def _same(one: Figure, own: Figure) -> bool:
    """Whether a figure, or an end of a range, is a claim's quantity: of one unit and about as large. A share may stand without its sign, if
    it is exactly as large; a claim that is a bare number is quoted by no other unless it has a scale (``90 k``)."""
    within = QUOTED_WITHIN
    if not own.unit:
        alike = bool(own.scale)
    elif own.unit == "percent" and not one.unit:
        alike, within = True, EXACTLY
    else:
        alike = FLOPS.get(one.unit, one.unit) == FLOPS.get(own.unit, own.unit) and one.per == own.per
    ends = [end for end in (one.value, one.until) if end is not None]
    return alike and any(abs(end - own.value) <= within * abs(own.value) for end in ends)
