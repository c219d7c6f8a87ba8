"""No locked version, and no lowest version that is allowed, has a known vulnerability.

``.ci/advisories.csv`` holds the advisories found on 1 December 2026 for the packages of ``.ci/requirements.txt``: ``pip-audit`` needs a
database that may be out of reach. A row without a version names why the advisory does not concern this project.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
with (ROOT / ".ci" / "advisories.csv").open(encoding="utf-8", newline="") as opened:
    ADVISORIES = list(csv.DictReader(opened))


def locked() -> Iterator[tuple[str, str]]:
    text = (ROOT / ".ci" / "requirements.txt").read_text(encoding="utf-8")
    yield from re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)


def lowest() -> Iterator[tuple[str, str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]:
        required = Requirement(text)
        yield from ((required.name, bound.version) for bound in required.specifier if bound.operator == ">=")


def affected(versions: Iterator[tuple[str, str]]) -> list[str]:
    return [
        f"{name} {version}: {row['advisory']}, fixed in {row['affected_before']}"
        for name, version in versions
        for row in ADVISORIES
        if canonicalize_name(name) == row["package"] and row["affected_before"]
        if Version(version) < Version(row["affected_before"])
    ]


@pytest.mark.parametrize("versions", [locked, lowest])
def test_no_version_has_a_known_vulnerability(versions: Callable[[], Iterator[tuple[str, str]]]) -> None:
    assert affected(versions()) == []


def test_every_row_is_of_a_locked_package_and_says_why_it_is_passed_over() -> None:
    names = {canonicalize_name(name) for name, _ in locked()}
    assert {row["package"] for row in ADVISORIES} <= names
    assert [row for row in ADVISORIES if not row["affected_before"] and not row["unaffected_because"]] == []


def test_an_older_version_is_found() -> None:
    assert affected(iter([("PyPDF", "5.0.0"), ("distributed", "2024.8"), ("lark", "1.0")]))[0].startswith(
        "PyPDF 5.0.0: "
    )
    assert len(affected(iter([("distributed", "2024.8")]))) == 1
