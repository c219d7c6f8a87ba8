"""Finds the software profile for a stack from its stated name, the framework's description, its release and year. The rules are data, one
line each, in ``matching.yaml``."""

import functools
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gpuhours.inputs.errors import nearest
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Section, read_yaml, validated
from gpuhours.software.profile import ancestors, known_as, known_names, load_software

HALVES = {"early": 2, "mid": 6, "late": 11}
"""Month assumed for a release without one."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
Kind = Literal["split", "sharded", "alone"]
"""A layout with tensor or pipeline parallelism, under ZeRO-3, or neither."""
VERSION = re.compile(r"[ -]v?\d+(\.\d+)*\+?$")
"""A version at the end of a name."""
SLIP = 0.8
"""Similarity (``difflib``) from which a word counts as a misspelt name or alias of a profile."""


class When(Section):
    """Years and releases to which a rule applies; a rule that restricts the year (or release) does not apply if that is unknown."""

    from_year: Annotated[int | None, Field(alias="from")] = None
    until: int | None = None
    since: float | None = None
    before: float | None = None

    def holds(self, year: int | None, release: float | None) -> bool:
        """Whether it applies to this year and release."""
        if (self.since, self.before) != (None, None) and (
            release is None or not (self.since or 0) <= release < (self.before or 100)
        ):
            return False
        if (self.from_year, self.until) == (None, None):
            return True
        return year is not None and (self.from_year or 0) <= year <= (self.until or 9999)


class MatchingRule(When):
    """One rule for a description."""

    words: str
    profile: str
    example: str
    year: int | None = None
    """Year of the example."""
    kin: bool = False
    """Whether the matched stack is a different, unmeasured one, for which the profile only stands in."""

    def reads(self, text: str, year: int | None, release: float | None) -> bool:
        """Whether it matches this description, year and release."""
        return re.search(self.words, text) is not None and self.holds(year, release)


class Aged(When):
    """The profile that a name refers to in other years and releases."""

    profile: str
    take: str


class UnknownStack(Section):
    """The profile for an unknown stack of a given year, by the kind of its layout."""

    until: int = 9999
    split: str
    sharded: str
    alone: str
    experts: str | None = None
    """With expert parallelism, and so on: where None, the layout's."""
    adapters: str | None = None
    image_adapters: str | None = None


class MatchingFile(Section):
    """The contents of ``matching.yaml``."""

    lines: tuple[MatchingRule, ...]
    aged: tuple[Aged, ...]
    classes: dict[str, tuple[str, ...]]
    families: tuple[str, ...]
    hugging_face: dict[str, str]
    mixtures: dict[str, str]
    sharders: dict[str, str]
    versions: dict[str, float]
    unknown: tuple[UnknownStack, ...]


@dataclass(frozen=True)
class StatedStack:
    """What a source or run states about its stack, in its own words."""

    stated: str = ""
    """The name of the software."""
    described: str = ""
    """The framework's description."""
    release: str = ""
    year: int | None = None
    layout: Kind = "alone"
    """The kind of layout (``kind_of_layout``), used if name and description match nothing."""
    adapters: Literal["", "text", "images"] = ""
    """What adapters are trained on; empty if none are."""
    expert_ranks: bool = False
    """Whether its model has experts with expert parallelism."""
    mixture: bool = False
    """Whether its model has experts without expert parallelism."""


@dataclass(frozen=True)
class Match:
    """The chosen profile, and remarks on the choice."""

    profile: str
    remark: str = ""
    stands_in: bool = False
    """Whether the profile only stands in for an unmeasured stack: an unknown one, or one that a rule matches to a related profile."""
    family_alone: bool = False
    """Whether the words say no more than the family (``families``): which of its profiles the run had is then assumed."""


@functools.cache
def table() -> MatchingFile:
    """The contents of ``matching.yaml``, cached."""
    return validated(MatchingFile, read_yaml(Path(str(files("gpuhours.software"))) / "matching.yaml"))


@functools.lru_cache(maxsize=1024)
def match(stack: StatedStack) -> Match:
    """The profile for a stack.

    A stated name takes precedence. The name of a class of stacks is resolved by the framework's description, release and year
    (``classes``). If the stated name is a table's own system and the description names another system (a comparison run), the latter is
    used. A stack that matches nothing is unknown: the middle one of its year and layout is used.
    """
    stated, described = stack.stated.strip().lower(), stack.described.strip().lower()
    year = _year_in(described) or stack.year or _year_in(stated)
    release = release_of(f"{stack.release} {described}", year) or release_of(stated, year)
    named = known_as(stated) or profile_in(stated, year, release)
    name = profile_in(described, year, release) if described else None
    if named is not None:
        taken = _stated_or_variant(named, name, described)
        if taken == named and named.startswith("huggingface"):
            taken = _sharded_by(named, described)
        remark = "" if known_as(stated) is not None else f"software {stated!r} read as {named}"
        if taken != named:
            remark = "; ".join(filter(None, (remark, f"{stack.described!r} read as {taken}")))
    elif name is not None:
        taken, remark = name, f"software not named; {stack.described!r} read as {name}"
    else:
        middle = _middle(stack, year)
        return Match(
            middle, f"software {stated or described or 'not stated'}: unknown, taken as {middle}", stands_in=True
        )
    kin = any(rule is not None and rule.kin for rule in (_rule(text, year, release) for text in (stated, described)))
    taken = _profile_at_age(taken, year, release)
    if stack.mixture and stack.layout == "sharded" and taken in table().mixtures:
        taken = table().mixtures[taken]
        remark = "; ".join(filter(None, (remark, f"experts under ZeRO-3: taken as {taken}")))
    return Match(taken, remark, stands_in=kin, family_alone=not stack.release and is_family(described or stated))


def profile_in(text: str, year: int | None = None, release: float | None = None) -> str | None:
    """The profile that a description refers to: by its name, an alias, or the first matching rule."""
    plain = text.strip().lower()
    if not plain:
        return None
    year = year or _year_in(plain)
    release = release or release_of(plain, year)
    rule = _rule(plain, year, release)
    return known_as(plain) or (None if rule is None else rule.profile)


def _rule(text: str, year: int | None, release: float | None) -> MatchingRule | None:
    """The first rule that matches a description; None if there is none, or if the description is a profile's name or alias."""
    if not text or known_as(text) is not None:
        return None
    return next((line for line in table().lines if line.reads(text, year, release)), None)


def under(title: str, stated: str) -> str | None:
    """The profile to use instead of ``stated`` if the source's title says that its models are Hugging Face's; otherwise None."""
    return table().hugging_face.get(stated) if (profile_in(title) or "").startswith("huggingface") else None


def kind_of_layout(*, split: bool, sharding: str) -> Kind:
    """The kind of a layout. ``split``: by tensors or stages; a sharded optimiser state alone (``zero1``) comes with such stacks."""
    if split or sharding == "zero1":
        return "split"
    return "sharded" if re.search(r"3|fsdp|hsdp", sharding) else "alone"


def _middle(stack: StatedStack, year: int | None) -> str:
    """The profile for an unknown stack: the middle one of those of its year and layout."""
    entry = next(one for one in table().unknown if (year or 9999) <= one.until)
    by_layout = {"split": entry.split, "sharded": entry.sharded, "alone": entry.alone}[stack.layout]
    if stack.expert_ranks:
        return entry.experts or by_layout
    if stack.adapters and stack.layout != "split":
        return (entry.adapters if stack.adapters == "text" else entry.image_adapters) or by_layout
    return by_layout


def release_of(text: str, year: int | None = None) -> float | None:
    """A release as year.month: ``25.04.02``, ``r0.11``, ``2026-06``, ``June 2026``, ``mid-2026``; None if there is none."""
    text = text.lower()
    versions = table().versions
    core = re.search(r"(?:megatron.?core|mcore|core)[ _-]?(?:v|r)?(0\.\d+)", text)
    if core is not None and core[1] in versions:
        return versions[core[1]]
    container = re.search(r"(?<![\d.])(2[2-9])\.(0[1-9]|1[0-2])(?![\d])", text)
    if container is not None:
        return float(f"{container[1]}.{container[2]}")
    dated = re.search(r"20(2\d)-(0[1-9]|1[0-2])(?!\d)", text)
    if dated is not None:
        return float(f"{dated[1]}.{dated[2]}")
    month = re.search(rf"\b({'|'.join(MONTHS)})[a-z]*\.? 20(2\d)", text)
    if month is not None:
        return float(f"{month[2]}.{MONTHS.index(month[1]) + 1:02}")
    half = re.search(rf"\b({'|'.join(HALVES)})[ -]20(2\d)", text)
    return None if half is None else float(f"{half[2]}.{HALVES[half[1]]:02}")


def _stated_or_variant(stated: str, found: str | None, described: str) -> str:
    """The stated profile, or its variant if the framework's description implies one."""
    if found is None or found == stated:
        return stated
    if found in table().classes.get(stated, ()):
        return found
    own = [line.words for line in table().lines if line.profile == stated]
    comparison = (
        load_software(stated).single_system
        and found not in ancestors(stated)
        and not any(re.search(words, described) for words in own)
    )
    return found if comparison else stated


def _sharded_by(named: str, described: str) -> str:
    """The profile ``named`` for Hugging Face's models, or that of the library that shards them according to the description."""
    sharded = (profile for words, profile in table().sharders.items() if re.search(words, described))
    return next((one for one in sharded if one in table().classes.get(named, ())), named)


def _profile_at_age(name: str, year: int | None, release: float | None) -> str:
    rules = (rule.take for rule in table().aged if rule.profile == name and rule.holds(year, release))
    return next(rules, name)


def _year_in(text: str) -> int | None:
    year = re.search(r"\b(20(?:1[5-9]|2\d))\b", text)
    return None if year is None else int(year[1])


def software_named(name: str, year: int | None = None) -> tuple[str, str]:
    """The profile for ``--software NAME``, and a remark if the name is not a profile's. Raises ``load_software``'s error if nothing matches
    the name, or if it looks like a misspelt name or alias of a profile."""
    if name.endswith((".yaml", ".yml")) or known_as(name) is not None:
        return name, ""
    if is_misspelt(name) or profile_in(name, year) is None:
        return load_software(name).name, ""
    profile = match(StatedStack(stated=name, year=year)).profile
    return profile, f"{name!r} read as {profile}, {load_software(profile).title}"


def is_family(name: str) -> bool:
    """Whether a name is that of a family of stacks, without a release, compiler or kind of sharding. A version that is no known release
    does not tell which of the family's profiles it is.

    >>> is_family("Megatron"), is_family("PyTorch 2.3"), is_family("NeMo 24.07"), is_family("Megatron-Core 0.9")
    (True, True, False, False)
    """
    word = name.strip().lower()
    return VERSION.sub("", word) in table().families and release_of(word) is None


def is_misspelt(name: str) -> bool:
    """Whether a word looks like a misspelt name or alias of a profile, or a misspelt family. A word that is a family's name, or all of
    which a rule knows, is not; nor does a word that contains a whole name (``pytorch2``) misspell that one."""
    word = name.strip().lower()
    if " " in word or known_as(word) is not None or is_family(word) or any(_all_of(word)):
        return False
    return bool(nearest(word, (one for one in (*known_names(), *table().families) if one not in word), SLIP))


def _all_of(word: str) -> Iterator[bool]:
    """For each rule, whether what it looks for is the whole word."""
    return (re.fullmatch(line.words, word) is not None for line in table().lines)


def is_unknown(name: str, year: int | None = None) -> bool:
    """Whether ``--software NAME`` is an unknown stack. Raises ``load_software``'s error if it looks misspelt."""
    if name.endswith((".yaml", ".yml")) or known_as(name) is not None:
        return False
    if is_misspelt(name):
        load_software(name)
    return profile_in(name, year) is None


def stands_in(name: str, year: int | None = None) -> bool:
    """Whether the profile for ``--software NAME`` only stands in for a stack of that name."""
    if name.endswith((".yaml", ".yml")) or known_as(name) is not None:
        return False
    return match(StatedStack(stated=name, year=year)).stands_in
