"""Bad input gives a message that says what is wrong, where, and what to do; exit code 2; never a traceback.

The rows are the ways in which other estimators were seen to fail.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.run.spec import from_dict
from gpuhours_cli.output import saved
from tests.conftest import Command

ONE = (
    "estimate",
    "--params",
    "7B",
    "--tokens",
    "1T",
    "--gpu",
    "h100-sxm-80gb",
    "--gpus",
    "64",
    "--batch",
    "512",
    "--seq-len",
    "4096",
)
LAYOUT = ("--sharding", "zero3")

BAD = [
    pytest.param((*ONE, "--batch", "-512"), ["training.global_batch", "-512", "at least 1"], id="a negative batch"),
    pytest.param((*ONE, "--tensor", "-8"), ["layout.tensor", "-8", "at least 1"], id="negative tensor parallelism"),
    pytest.param((*ONE, "--tensor", "0"), ["layout.tensor", "0"], id="tensor parallelism of nothing"),
    pytest.param((*ONE, "--set", "layout.tenser=4"), ["layout.tenser", "No such key", "tensor"], id="an unknown key"),
    pytest.param((*ONE, "--set", "hardware.internode_bandwidth=312e12 FLOP/s"), ["expected byte/s"], id="the wrong unit"),
    pytest.param((*ONE, "--gpu", "h100_smx"), ["h100_smx", "No such profile", "h100-sxm-80gb"], id="a misspelt GPU"),
    pytest.param(("estimate", "--model", "lama-3-8b"), ["lama-3-8b", "llama-3-8b"], id="a misspelt model"),
    pytest.param((*ONE, "--model", "llama-3-8b"), ["--params", "--model"], id="two models"),
    pytest.param((*ONE, "--software", "megatron-cor"), ["megatron-cor", "megatron-core"], id="a misspelt stack"),
    pytest.param((*ONE, "--mfu", "40"), ["known.mfu", "at most 1", "40%"], id="a share as a percentage"),
    pytest.param((*ONE, "--set", "known.goodput=0"), ["known.goodput", "greater than 0"], id="a run that never runs"),
    pytest.param((*ONE[:1], "--params", ""), ["model.params", "not a quantity"], id="a size of nothing"),
    pytest.param((*ONE, "--mfu", "150%"), ["known.mfu", "150%", "at most 1"], id="an MFU above 100 %"),
    pytest.param((*ONE, "--gpus", "9**9**9"), ["hardware.gpus", "9**9**9", "not a quantity"], id="a hostile expression"),
    pytest.param((*ONE, "--gpus", "9" * 1_000_000), ["hardware.gpus", "too long"], id="a megabyte of text"),
    pytest.param((*ONE, "--gpus", "1e999"), ["hardware.gpus", "not a finite number"], id="infinity"),
    pytest.param((*ONE, "--gpus", "nan"), ["hardware.gpus", "nan"], id="not a number"),
    pytest.param((*ONE, "--gpus", "12.5"), ["hardware.gpus", "whole number"], id="half a GPU"),
    pytest.param((*ONE, "--tensor", "3"), ["tensor 3", "does not divide 64"], id="a layout that does not divide"),
    pytest.param((*ONE, "--precision", "bf17"), ["dtype", "bf17", "bf16"], id="a misspelt number format"),
    pytest.param((*ONE, "--recompute", "some"), ["layout.recompute", "none, selective, full"], id="an unknown choice"),
    pytest.param((*ONE, "--set", "nonsense"), ["nonsense", "KEY=VALUE"], id="a setting without a value"),
    pytest.param((*ONE, "--explain", "mfuu"), ["mfuu", "mfu"], id="an unknown result"),
    pytest.param(("estimate",), ["Nothing to estimate"], id="nothing at all"),
    pytest.param(("estimate", "no-such-run.yaml"), ["no-such-run.yaml", "cannot be read"], id="a missing file"),
    pytest.param(("reproduce", "video-lama"), ["video-lama", "video-llama-30b"], id="a misspelt document"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_is_explained(gpuhours_command: Command, arguments: tuple[str, ...], said: list[str]) -> None:
    ran = gpuhours_command(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    for words in said:
        assert words in ran.err
    assert len(ran.err) < 2000


FILES = [
    pytest.param("hardware:\n  gpus: 8\n  gpus: 16\n", ":3:3", "given twice", id="a key twice"),
    pytest.param("hardware:\n  accelerator: h100_smx\nmodel: {params: 7B}\n", "h100_smx", "No such profile", id="a misspelt GPU"),
    pytest.param("model: {params: 30 GB}\n", ":1:17  model.params = '30 GB'", "expected", id="bytes for parameters"),
    pytest.param("training: [1, 2]\n", ":1:", "training", id="a list for a mapping"),
    pytest.param("model: {params: [30B]}\n", "model.params", "not a quantity", id="a list for a number"),
    pytest.param("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n: {\n", ":", "not YAML", id="broken YAML"),
    pytest.param("- 1\n- 2\n", "", "mapping", id="a list"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "where", "problem"), FILES)
def test_bad_files_say_where(gpuhours_command: Command, tmp_path: Path, text: str, where: str, problem: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    ran = gpuhours_command("estimate", str(path))
    assert ran.code == 2
    assert "run.yaml" in ran.err or where == "h100_smx"
    assert where in ran.err
    assert problem in ran.err


def test_checks_hold_under_optimisation() -> None:
    """``python -O`` must not disable a check."""
    code = "import sys; sys.argv = ['gpuhours', *sys.argv[1:]]; from gpuhours_cli.app import main; main()"
    command = [sys.executable, "-O", "-c", code, *ONE, "--tensor", "-8"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert "layout.tensor" in ran.stderr


def environment() -> dict[str, str]:
    """Return the import path of this process for a child process."""
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_contradiction_is_a_no(gpuhours_command: Command) -> None:
    """17B tokens through a 7B model in 336 A100-hours exceed the peak, and the answer says so."""
    spent = ("--gpu", "a100-sxm-80gb", "--gpu-hours", "336")
    ran = gpuhours_command("estimate", "--params", "7B", "--tokens", "17B", "--seq-len", "8192", *spent)
    assert ran.code == 1
    assert "of the dense peak" in ran.err


@pytest.mark.parametrize(
    "text", ["1 Tb/s", "30 GB + 1", "__import__('os')", "1 parsec", "", "    ", "GB", "1 GB GB GB**99"]
)
def test_odd_quantities_are_refused_at_once(text: str) -> None:
    from gpuhours.inputs.errors import UnitError
    from gpuhours.inputs.units import parse

    with pytest.raises(UnitError):
        parse(text, "byte")


def test_a_second_observed_figure_is_refused_and_not_taken_for_the_first(gpuhours_command: Command) -> None:
    ran = gpuhours_command(*ONE, "--observed", "step_time=1s", "--observed", "mfu=40%")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: --observed\n  This is given more than once.")
    several = gpuhours_command(*ONE, "--set", "data.tokens=2T", "--set", "training.dtype=bf16", "--tokens", "3T", "-q")
    assert several.code == 0, "--set takes several, and of a plain value the last one counts"


@pytest.mark.parametrize("follows", ["--tokens", "--tokens=20M", "--Tokens"])
def test_an_option_without_its_value_does_not_take_the_next_one_for_it(follows: str, gpuhours_command: Command) -> None:
    ran = gpuhours_command("estimate", "--model", "llama-3-8b", "--lora", follows, "20M", "--gpu", "h100-sxm-80gb")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: --lora\n  It takes a value, and --tokens")


def test_a_stage_of_thousands_of_digits_is_told() -> None:
    with pytest.raises(EstimateError, match="Stage 1 is a number of thousands of digits"):
        from_dict({"stages": [10**5000]})


@pytest.mark.parametrize("why", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_file_that_cannot_be_written_keeps_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: int
) -> None:
    path = tmp_path / "page.html"
    saved("older", path)

    def fails(draft: Path, content: bytes) -> None:
        draft.touch()
        raise OSError(why, os.strerror(why))

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(EstimateError, match=os.strerror(why)) as refused:
        saved(b"newer", path, "--plot")
    assert refused.value.where == f"--plot {path}"
    assert ("Free some space" in refused.value.hint) == (why != errno.EACCES)
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text(encoding="utf-8") == "older"
