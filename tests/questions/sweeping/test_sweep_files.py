"""Files of a sweep: three formats, never overwritten unless asked, and the same bytes whether or not the work was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping.engines import answers
from gpuhours.questions.sweeping.filing import to_file
from gpuhours.questions.sweeping.formats import FORMATS
from gpuhours.questions.sweeping.parts import FINISHED, folder_of, rows_so_far
from gpuhours.questions.sweeping.running import make_job
from tests.questions.sweeping.small_run import RUN

VARY = {
    "layout.tensor": "1,2,3,4", "layout.pipeline": "1,2,4", "layout.recompute": "none,full", "layout.microbatch": "1,2,4",
    "hardware.accelerator": "a100-sxm-80gb,h100-sxm-80gb",
}  # fmt: skip
pytestmark = pytest.mark.usefixtures("_rows_made_once")
ENDINGS = sorted(FORMATS)


def run() -> gpuhours.Run:
    return gpuhours.from_dict(RUN)


@cache
def undisturbed(ending: str) -> bytes:
    """Return the file of an uninterrupted sweep."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"once{ending}"
        gpuhours.sweep(run(), VARY, output=path, block_rows=20)
        return path.read_bytes()


def opened(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, read as anybody would."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    options = pyarrow.csv.ConvertOptions(column_types={"reason": pa.string()}, strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, convert_options=options).to_pylist()


@pytest.mark.parametrize("ending", ENDINGS)
def test_file_holds_every_row_exactly(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    whole = gpuhours.sweep(run(), VARY).table.to_pylist()
    found = gpuhours.sweep(run(), VARY, output=path, block_rows=20)
    assert found.kept == found.rows == len(whole) == len(opened(path))
    assert not path.with_name(path.name + ".parts").exists()
    for row, expected in zip(opened(path), whole, strict=True):
        for name, value in expected.items():
            assert row[name] == value or (value is None and row[name] in (None, "")), name
    assert found.table.slice(0, 5).to_pylist() == whole[:5]


@pytest.mark.parametrize("ending", ENDINGS)
def test_file_of_the_best_rows(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"best{ending}"
    options: dict[str, Any] = {"minimise": "step_time", "top": 5, "where": "fits"}
    alone = gpuhours.sweep(run(), VARY, **options).table
    found = gpuhours.sweep(run(), VARY, output=path, block_rows=50, **options)
    assert found.kept == 5
    assert [row["step_time"] for row in opened(path)] == pytest.approx(alone["step_time"].to_pylist(), rel=1e-12)


def test_no_row_left_is_still_a_file(tmp_path: Path) -> None:
    for ending in ENDINGS:
        path = tmp_path / f"none{ending}"
        assert gpuhours.sweep(run(), VARY, where="mfu > 99%", output=path).kept == 0
        assert opened(path) == []


def test_wrong_ending_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="xlsx"):
        gpuhours.sweep(run(), VARY, output=tmp_path / "out.xlsx", watch=lambda *_: pytest.fail("worked"))


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(EstimateError, match="exists"):
        gpuhours.sweep(run(), VARY, output=path)
    with pytest.raises(EstimateError, match="exists"):
        gpuhours.sweep(run(), VARY, output=path, resume=True)
    assert path.read_text() == "mine"
    gpuhours.sweep(run(), VARY, output=path, force=True)
    assert len(opened(path)) == 144


def test_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EstimateError, match="Cannot write"):
        gpuhours.sweep(run(), VARY, output=tmp_path / "file" / "out.csv")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("after", [1, 3, 6])
def test_interrupted_anywhere_and_resumed(tmp_path: Path, ending: str, after: int) -> None:
    path, once = tmp_path / f"out{ending}", tmp_path / f"once{ending}"
    once.write_bytes(undisturbed(ending))
    seen = []

    def stop(done: int, _: int) -> None:
        seen.append(done)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, watch=stop)
    assert not path.exists(), "only a complete file has the name that was asked for"
    so_far = opened(rows_so_far(path))
    assert so_far == opened(once)[: len(so_far)] != []
    with pytest.raises(EstimateError, match="--resume"):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20)
    found = gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True)
    assert path.read_bytes() == once.read_bytes()
    assert found.kept == 144
    assert gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True).kept == 144, (
        "a finished file is left alone"
    )


def test_another_sweep_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, watch=stop)
    for changed in ({"vary": {**VARY, "layout.microbatch": "1,2,8"}}, {"where": "fits"}, {"breakdown": True}):
        options: dict[str, Any] = {"vary": VARY, "output": path, "block_rows": 20, "resume": True, **changed}
        with pytest.raises(EstimateError, match="another"):
            gpuhours.sweep(run(), **options)


@pytest.mark.parametrize("left", [b"[1]", b"null", b"{}", b"", b"\xff"])
def test_the_rest_of_something_else_is_not_continued(tmp_path: Path, left: bytes) -> None:
    folder = tmp_path / "out.csv.parts"
    folder.mkdir()
    (folder / "manifest.json").write_bytes(left)
    (folder / "00000000.20").write_bytes(b"")
    with pytest.raises(EstimateError, match="a different one"):
        gpuhours.sweep(run(), VARY, output=tmp_path / "out.csv", block_rows=20, resume=True)


def test_rows_that_come_out_differently_are_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, watch=_interrupt)
    part = sorted((tmp_path / "out.csv.parts").glob("00000000.*"))[0]
    part.write_bytes(part.read_bytes().replace(b"true", b"false"))
    with pytest.raises(EstimateError, match="differ from those computed now"):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True)


@pytest.mark.parametrize("ending", ENDINGS)
def test_stopped_before_the_first_block_leaves_no_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    job = make_job(run(), VARY, (), None, (None, None, None, None), block_rows=20)

    def none(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_file(job, path, none, force=False, resume=False, watch=None)
    assert not path.exists()
    assert not rows_so_far(path).exists()
    gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True)
    assert path.read_bytes() == undisturbed(ending)


def test_file_to_be_replaced_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, force=True, watch=_interrupt)
    assert path.read_text() == "mine"
    gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True)
    assert path.read_bytes() == undisturbed(".csv")


def test_file_that_has_come_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, watch=_interrupt)
    path.write_text("mine")
    with pytest.raises(EstimateError, match="has appeared since"):
        gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True)
    assert path.read_text() == "mine"
    gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True, force=True)
    assert path.read_bytes() == undisturbed(".csv")


@pytest.mark.parametrize("left", [[FINISHED, "00000003.20", "lock"], [FINISHED], []])
def test_killed_while_the_folder_was_removed(tmp_path: Path, left: list[str]) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(undisturbed(".csv"))
    folder_of(path).mkdir()
    for name in left:
        (folder_of(path) / name).write_bytes(b"")
    assert gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True).kept == 144
    assert path.read_bytes() == undisturbed(".csv")
    assert not folder_of(path).exists()


def test_folder_of_that_name_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    for options in ({"force": True}, {"resume": True}, {}):
        with pytest.raises(EstimateError, match="This is a folder"):
            gpuhours.sweep(run(), VARY, output=tmp_path / "out.csv", **options)  # type: ignore[arg-type]


def _interrupt(*_: int) -> None:
    raise KeyboardInterrupt


KILLED = """
import sys, time, pathlib, gpuhours
gpuhours.sweep(gpuhours.from_dict({run!r}), {vary!r}, output={path!r}, block_rows=20, resume={resume}, watch=lambda *_: time.sleep(0.05))
"""


@pytest.mark.parametrize(("ending", "resumes"), [(".csv", (False,)), (".jsonl", (False,)), (".parquet", (False, True))])
def test_kill_9_and_resume(tmp_path: Path, ending: str, resumes: tuple[bool, ...]) -> None:
    """Killed once in each format; in one format killed again while it resumes."""
    path, once = tmp_path / f"out{ending}", tmp_path / f"once{ending}"
    once.write_bytes(undisturbed(ending))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    kills = 0
    for resume in resumes:
        code = KILLED.format(run=RUN, vary=VARY, path=str(path), resume=resume)
        process = subprocess.Popen([sys.executable, "-c", code], env=environment)
        before = _parts(path)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if _parts(path) >= before + 2 and rows_so_far(path).exists():
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert not path.exists()
        so_far = opened(rows_so_far(path))
        assert so_far == opened(once)[: len(so_far)] != []
    assert kills >= 1
    gpuhours.sweep(run(), VARY, output=path, block_rows=20, resume=True)
    assert path.read_bytes() == once.read_bytes()


def _parts(path: Path) -> int:
    folder = path.with_name(path.name + ".parts")
    return len(list(folder.glob("0*.*[0-9]"))) if folder.is_dir() else 0


def test_workers_in_any_order_give_the_same_file(tmp_path: Path) -> None:
    job = make_job(run(), VARY, (), None, (None, None, None, None), block_rows=20)

    def backwards(work: Any, numbers: Any) -> Any:
        return answers(work, reversed(list(numbers)), engine="local", scheduler=None, blocks=1)

    def forwards(work: Any, numbers: Any) -> Any:
        return answers(work, numbers, engine="local", scheduler=None, blocks=1)

    for name, workers in (("a.parquet", forwards), ("b.parquet", backwards)):
        to_file(job, tmp_path / name, workers, force=False, resume=False, watch=None)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_arrow_types_do_not_depend_on_the_rows(tmp_path: Path) -> None:
    found = gpuhours.sweep(run(), {"layout.tensor": [3]}, output=tmp_path / "out.parquet")
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert schema.field("step_time").type == pa.float64()
    assert schema.field("reason").type == pa.string()
    assert found.table.schema.names == found.job.schema.names
