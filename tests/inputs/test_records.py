"""Records behave like dataclasses in everything the code asks of them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from gpuhours.inputs.records import dataclass


def made(maker: Any) -> Any:
    """The same class from both makers."""

    @maker(frozen=True)
    class Message:
        """Bytes between ranks."""

        size: float
        ranks: int = 2
        hops: tuple[int, ...] = dataclasses.field(default=(), repr=False)
        seen: dict[str, int] = dataclasses.field(default_factory=dict, compare=False)

        @cached_property
        def whole(self) -> float:
            return self.size * self.ranks

    return Message


@dataclass(frozen=True)
class Pair:
    """At the top of a module, for pickles."""

    first: int
    second: int = 2


@dataclass(frozen=True)
class Triple(Pair):
    """Inherits fields."""

    third: int = 3
    total: int = dataclasses.field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.first + self.second + self.third)


def test_a_record_answers_as_a_dataclass_does() -> None:
    ours, theirs = made(dataclass), made(dataclasses.dataclass)
    for one, other in (
        (ours(1.0), theirs(1.0)),
        (ours(1.0, ranks=4, hops=(1,)), theirs(1.0, ranks=4, hops=(1,))),
        (dataclasses.replace(ours(1.0), ranks=8), dataclasses.replace(theirs(1.0), ranks=8)),
    ):
        assert repr(one) == repr(other)
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        assert one.whole == other.whole
        assert copy.deepcopy(one) == one
    assert ours(1.0) == ours(1.0, seen={"a": 1})
    assert hash(ours(1.0)) == hash(ours(1.0, seen={"a": 1}))
    assert ours(1.0) != ours(2.0)
    assert ours(1.0) != theirs(1.0)
    assert ours(1.0).seen is not ours(1.0).seen


def test_a_record_refuses_what_a_frozen_dataclass_refuses() -> None:
    one = made(dataclass)(1.0)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'size'"):
        one.size = 2.0
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'size'"):
        del one.size
    for wrong in ((), (1.0, 2, (), {}, 5)):
        with pytest.raises(TypeError, match="__init__"):
            made(dataclass)(*wrong)


def test_records_inherit_and_travel() -> None:
    one = Triple(1, third=5)
    assert (one.total, one) == (8, pickle.loads(pickle.dumps(one)))
    assert one != Pair(1)
    assert [field.name for field in dataclasses.fields(Triple)] == ["first", "second", "third", "total"]


def test_a_record_without_comparison_is_only_itself() -> None:
    @dataclass(frozen=True, eq=False)
    class Held:
        """Compared as objects are."""

        value: int

    one = Held(1)
    assert one == one
    assert one != Held(1)
    assert len({one, Held(1)}) == 2


def test_the_estimator_makes_its_dataclasses_here() -> None:
    package = Path(__file__).parents[2] / "estimator" / "gpuhours"
    own = re.compile(r"^from dataclasses import [^\n]*\bdataclass\b", re.MULTILINE)
    others = [path.name for path in package.rglob("*.py") if own.search(path.read_text(encoding="utf-8"))]
    assert others == []
