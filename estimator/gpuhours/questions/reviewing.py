"""``ci``: how a change in a repository affects the cost of the runs described in it, compared with another commit."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_yaml
from gpuhours.questions.comparing import Input, differences
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.estimates import Estimate, Result
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.spec import Run, load

ENDINGS = (".yaml", ".yml")
SUMMED = ("cost", "gpu_hours", "energy", "carbon")
"""Results that are summed over runs."""


@dataclass(frozen=True)
class ReviewedRun:
    """One run file before and after; None if it does not exist on that side."""

    path: str
    before: Estimate | None
    now: Estimate | None

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The keys that differ."""
        return () if self.before is None or self.now is None else differences(self.before.run, self.now.run)

    def result(self, name: str, *, now: bool) -> Result | None:
        """One result on one side."""
        side = self.now if now else self.before
        return None if side is None else side.results[name]

    def change(self, name: str) -> float | None:
        """now - before; a new or deleted run counts fully. None if an existing side is undetermined."""
        amounts = []
        for now in (False, True):
            result = self.result(name, now=now)
            if (self.now if now else self.before) is not None and result is None:
                return None
            amounts.append(0.0 if result is None else float(result.value))
        return amounts[1] - amounts[0]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        sides = {"before": self.before, "now": self.now}
        changed = [one.key for one in self.inputs]
        shown = {name: None if side is None else summary(side) for name, side in sides.items()}
        return {"path": self.path, **shown, "change": {name: self.change(name) for name in SUMMED}, "inputs": changed}


def summary(side: Estimate) -> dict[str, Any]:
    """One side of a run for the JSON document."""
    summed = {name: side.results[name] for name in (*SUMMED, "wall_clock")}
    return {"fits": side.fits, **{name: None if one is None else one.to_dict() for name, one in summed.items()}}


@dataclass(frozen=True)
class Review:
    """All changed run files, and whether their cost is within the budget."""

    base: str
    runs: tuple[ReviewedRun, ...]
    budget: float | None = None
    """USD for all changed runs together."""

    def total(self, name: str) -> float | None:
        """The sum of a result over all changed runs as they are now; None if one is undetermined."""
        results = [run.result(name, now=True) for run in self.runs if run.now is not None]
        return (
            None if any(one is None for one in results) else sum(float(one.value) for one in results if one is not None)
        )

    def change(self, name: str) -> float | None:
        """The sum of the changes; None if one is undetermined."""
        changes = [run.change(name) for run in self.runs]
        return None if any(one is None for one in changes) else sum(one for one in changes if one is not None)

    @property
    def over_budget(self) -> bool | None:
        """Whether the runs exceed the budget; None if there is none, or a cost is undetermined."""
        cost = self.total("cost")
        return None if self.budget is None or cost is None else cost > self.budget

    @property
    def passes(self) -> bool:
        """Whether every run fits and the cost is known to be within the budget, if there is one."""
        fits = all(run.now is None or run.now.fits is not False for run in self.runs)
        return fits and (self.budget is None or self.over_budget is False)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours ci --json``."""
        content = {
            "base": self.base, "runs": [run.to_dict() for run in self.runs],
            "total": {name: self.total(name) for name in SUMMED}, "change": {name: self.change(name) for name in SUMMED},
            "budget": None if self.budget is None else {"value": self.budget, "unit": "USD"},
            "over_budget": self.over_budget, "passes": self.passes,
        }  # fmt: skip
        return envelope("ci", content)


def review(
    base: str, paths: Sequence[Path | str] = (), budget: float | None = None, folder: Path | None = None
) -> Review:
    """The run files of a repository that differ from ``base``, estimated on both sides.

    ``base`` is a commit, branch or tag; the comparison is with its common ancestor with the checked-out commit, as in a pull request.
    ``paths`` (files or folders) restrict it; files that are not runs are skipped unless they are named.
    """
    if base.startswith("-"):
        raise EstimateError("This is not a commit, branch or tag.", "", f"--base {base}")
    top = Path(git(folder or Path(), "rev-parse", "--show-toplevel").removesuffix("\n"))
    fork = git(top, "merge-base", base, "HEAD", hint=SHALLOW).strip()
    named = [os.path.realpath(Path(folder or Path()) / path) for path in paths]
    changes = []
    for path in changed(top, fork, named):
        wanted = str(top / path) in named
        now = worked_out(top / path, wanted=wanted) if (top / path).is_file() else None
        with tempfile.TemporaryDirectory() as before:
            old = worked_out(as_it_was(top, fork, path, Path(before)), wanted=False)
        if now is not None or old is not None:
            changes.append(ReviewedRun(path, old, now))
    return Review(base, tuple(changes), budget)


SHALLOW = "A shallow clone lacks older commits: fetch the base (actions/checkout: fetch-depth: 0)."


def git(folder: Path, *words: str, hint: str = "") -> str:
    """The output of git as text, even if a file name in it is not UTF-8; raises ``EstimateError`` with git's message if it fails."""
    return git_bytes(folder, *words, hint=hint).decode("utf-8", errors="surrogateescape")


def git_bytes(folder: Path, *words: str, hint: str = "") -> bytes:
    """The output of git; paths are file names, not patterns."""
    try:
        ran = subprocess.run(
            ["git", "--literal-pathspecs", "-C", str(folder), *words], capture_output=True, check=False
        )
    except FileNotFoundError:
        raise EstimateError(
            "git is not installed.", "It is needed to read the runs of another commit.", "gpuhours ci"
        ) from None
    if ran.returncode:
        told = " ".join(ran.stderr.decode("utf-8", errors="replace").split())
        raise EstimateError(told or "failed", hint, f"git {' '.join(words)}")
    return ran.stdout


def changed(top: Path, fork: str, named: Iterable[str]) -> Iterator[str]:
    """YAML files that changed since ``fork``, including untracked ones."""
    listed = git(top, "diff", "--name-only", "--no-renames", "-z", fork, "--", *named).split("\0")
    new = git(top, "ls-files", "--others", "--exclude-standard", "-z", "--", *named).split("\0")
    yield from sorted({path for path in (*listed, *new) if path.endswith(ENDINGS)})


def as_it_was(top: Path, fork: str, path: str, into: Path) -> Path | None:
    """The file at ``fork`` along with its folder (for a model's configuration, say); None if it did not exist."""
    if not git(top, "ls-tree", "--name-only", fork, "--", path):
        return None
    folder = str(Path(path).parent)
    archived = git_bytes(top, "archive", fork, *([] if folder == "." else ["--", folder]))
    with tarfile.open(fileobj=io.BytesIO(archived)) as archive:
        archive.extractall(into, filter=inside)
    return into / path


def inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """A member of an archive; None if it would be written outside the folder, as through a symbolic link."""
    try:
        return tarfile.data_filter(member, folder)
    except tarfile.FilterError:
        return None


def worked_out(path: Path | None, *, wanted: bool) -> Estimate | None:
    """The estimate of a run file; None if there is no file, or it is not a run and was not named."""
    if path is None or not (wanted or is_run(path)):
        return None
    return estimate(load(path))


def is_run(path: Path) -> bool:
    """Whether a YAML file describes a run: a mapping whose keys are all keys of a run."""
    try:
        data = read_yaml(path).data
    except EstimateError:
        return False
    return (
        isinstance(data, dict)
        and bool({"model", "stages"} & data.keys())
        and len(data) > 1
        and data.keys() <= Run.model_fields.keys()
    )
