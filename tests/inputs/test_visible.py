"""Invisible characters are escaped, in errors too: a notebook shows them without the command line's writer."""

from __future__ import annotations

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\u202eb", r"a\u202eb"), ("\x1b[31m", r"\x1b[31m"), ("\x00", r"\x00"), ("\ufeff", r"\ufeff"), ("\ud800", r"\ud800"),
     ("é 10\u202f000\tx\n", "é 10\u202f000\tx\n")],
)  # fmt: skip
def test_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("name", ["\u202e", "64\x00", "\x1b[2J"])
def test_an_error_in_a_notebook_shows_what_cannot_be_seen(name: str) -> None:
    for described in (name, {"model": "llama-3-8b", name: 1}):
        with pytest.raises(EstimateError) as told:
            gpuhours.estimate(described)
        assert visible(str(told.value)) == str(told.value)
        assert visible(name) in str(told.value)
