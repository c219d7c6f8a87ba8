"""Sweeps: the same code path as estimate, the syntax of --vary and --where, the best rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.sweeping.values import read, varied
from gpuhours.run.overlays import setting
from tests.questions.sweeping.several_runs import CASES, GPT, VIDEO, run_of


@pytest.mark.parametrize("name", CASES)
def test_rows_are_what_estimate_says(name: str) -> None:
    data, vary = CASES[name]
    found = gpuhours.sweep(run_of(data), vary, block_rows=500)
    assert found.kept == found.rows
    rows = found.table.to_pylist()
    rng = np.random.default_rng(len(rows))
    checked = 0
    for index in rng.permutation(len(rows))[:10]:
        row = rows[index]
        run = found.job.grid.run_with(row)
        if not row["valid"]:
            assert row["reason"]
            continue
        checked += 1
        alone = gpuhours.estimate(run).results
        for result, expected in alone.items():
            if expected is None or isinstance(expected.value, bool):
                assert row[result] == (expected if expected is None else expected.value), (result, row)
            else:
                assert row[result] == pytest.approx(expected.value, rel=1e-12), (result, row)
    assert checked > 0


def test_every_row_once_in_order() -> None:
    vary = {
        "layout.tensor": [1, 2, 4],
        "hardware.accelerator": ["a100-sxm-80gb", "h100-sxm-80gb"],
        "layout.microbatch": [1, 2],
    }
    expected = [
        (t, a, m)
        for t in vary["layout.tensor"]
        for a in vary["hardware.accelerator"]
        for m in vary["layout.microbatch"]
    ]
    for block_rows in (1, 3, 5, 1000):
        found = gpuhours.sweep(run_of(GPT), vary, block_rows=block_rows)
        assert [tuple(row[key] for key in vary) for row in found.table.to_pylist()] == expected


def test_blocks_do_not_change_rows() -> None:
    data, vary = CASES["layout"]
    whole = gpuhours.sweep(run_of(data), vary).table.to_pydict()
    pieces = gpuhours.sweep(run_of(data), vary, block_rows=333).table.to_pydict()
    for name, column in whole.items():
        if isinstance(next((value for value in column if value is not None), None), float):
            assert np.allclose(np.array(column, float), np.array(pieces[name], float), rtol=1e-12, equal_nan=True), name
        else:
            assert column == pieces[name], name


def test_zip_pairs_keys() -> None:
    vary = {"layout.tensor": [1, 2, 4], "layout.pipeline": [4, 2, 1], "layout.microbatch": [1, 2]}
    found = gpuhours.sweep(run_of(GPT), vary, together=[["layout.tensor", "layout.pipeline"]])
    assert found.rows == 6
    assert found.table["layout.pipeline"].to_pylist() == [4, 4, 2, 2, 1, 1]


def test_zip_of_a_shape_is_validated_together() -> None:
    vary = {"model.hidden": [1536, 2560], "model.heads": [12, 20]}
    found = gpuhours.sweep(run_of(GPT), vary, together=[list(vary)])
    assert found.table["parameters"][0].as_py() < found.table["parameters"][1].as_py()
    with pytest.raises(EstimateError, match="heads"):
        gpuhours.sweep(run_of(GPT), {"model.hidden": [1536, 2001]})


def test_rows_that_cannot_run_say_why() -> None:
    found = gpuhours.sweep(
        run_of(GPT), {"layout.tensor": [1, 3], "hardware.accelerator": ["a100-sxm-80gb", "v100-sxm-32gb"]}
    )
    by_place = {(row["layout.tensor"], row["hardware.accelerator"]): row for row in found.table.to_pylist()}
    assert by_place[1, "a100-sxm-80gb"]["valid"]
    assert by_place[1, "a100-sxm-80gb"]["reason"] is None
    assert "does not divide 64 GPUs" in by_place[3, "a100-sxm-80gb"]["reason"]
    assert "bf16" in by_place[1, "v100-sxm-32gb"]["reason"]
    assert by_place[3, "a100-sxm-80gb"]["step_time"] is None


def test_python_result_is_an_arrow_table() -> None:
    found = gpuhours.sweep(run_of(VIDEO), {"data.frames": range(16, 129, 16)})
    table = pa.table(found)
    assert table["data.frames"].to_pylist() == list(range(16, 129, 16))
    assert table.schema.field("gpu_hours").metadata == {b"unit": b"GPU*hour"}
    assert "<table>" in found._repr_html_()
    assert "GPU*hour" in found._repr_html_()
    hours = table["gpu_hours"].to_pylist()
    assert hours == sorted(hours)
    document = found.to_dict()
    assert document["evaluated"] == 8
    assert len(document["rows"]) == 8


@pytest.mark.parametrize(("spec", "values"), [
    ("1,2,4,8", [1, 2, 4, 8]),
    ("16..128:16", [16, 32, 48, 64, 80, 96, 112, 128]),
    ("1..10:4", [1, 5, 9]),
    ("64..1024*2", [64, 128, 256, 512, 1024]),
    ("1..3", [1, 2, 3]),
    ("0.1..0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
    ("none,full", ["none", "full"]),
    ("true,false", [True, False]),
    ("100..400 Gbit/s:100", ["100 Gbit/s", "200 Gbit/s", "300 Gbit/s", "400 Gbit/s"]),
    ("1B..8B*2", ["1B", "2B", "4B", "8B"]),
    ("500M..2B*2", [500_000_000, 1_000_000_000, 2_000_000_000]),
    ("1,4..16*2,64", [1, 4, 8, 16, 64]),
    ("zb-1p", ["zb-1p"]),
])  # fmt: skip
def test_spec(spec: str, values: list[Any]) -> None:
    assert list(read(spec, "key")) == values


@pytest.mark.parametrize("spec", [
    "", " ", "1,,2", "1..", "..5", "5..1", "1..10:0", "1..10:-1", "1..10*1", "1..10*0.5", "0..8*2", "1..1e300:1e-300", "1..1e18",
    "1..10:nan", "1..2..3", "1 GB..2 s:1", "1..10*2 GB", "1" * 200_000, "1..9e999:1",
    "9" * 5000, "2020-99-99", "[" * 3000,
])  # fmt: skip
def test_hostile_spec(spec: str) -> None:
    run = run_of(GPT)
    with pytest.raises(EstimateError):
        gpuhours.sweep(run, dict([varied(f"layout.tensor={spec}")]))


@pytest.mark.parametrize(("vary", "message"), [
    ({"layout.tensr": [1]}, "tensor"),
    ({"layot.tensor": [1]}, "layout"),
    ({"layout.tensor": [0]}, "at least 1"),
    ({"layout.tensor": [1.5]}, "whole"),
    ({"layout.tensor": ["two"]}, "not a quantity"),
    ({"layout.recompute": ["some"]}, "none, selective, full"),
    ({"data.seq_len": ["2 GB"]}, "GB"),
    ({"hardware.accelerator": ["h100-sxm-80gb", "h100-smx-80gb"]}, "h100-sxm-80gb"),
    ({"software": ["megatron-cor"]}, "megatron-core"),
    ({"training.dtype": ["bf61"]}, "bf16"),
    ({"model": ["lama-2-7b"]}, "llama-2-7b"),
    ({"layout.tensor": []}, "no value"),
    ({}, "Nothing varies"),
    ({"layout.tensor": range(1, 10**6 + 1), "data.seq_len": range(1, 10**6 + 1), "layout.pipeline": [1, 2]}, "rows"),
])  # fmt: skip
def test_bad_input(vary: dict[str, Any], message: str) -> None:
    with pytest.raises(EstimateError, match=message):
        gpuhours.sweep(run_of(GPT), vary)


def test_bad_values_are_the_errors_of_estimate() -> None:
    for key, value in (("layout.tensor", 0), ("data.seq_len", "1 GB"), ("layout.recompute", "some")):
        block, name = key.split(".")
        with pytest.raises(EstimateError) as alone:
            gpuhours.from_dict({**GPT, block: {**GPT[block], name: value}})  # type: ignore[dict-item]
        with pytest.raises(EstimateError) as swept:
            gpuhours.sweep(run_of(GPT), {key: [value]})
        assert swept.value.problem == alone.value.problem


@pytest.mark.parametrize("options", [
    {"minimise": "nothing"}, {"top": 3}, {"minimise": "cost", "top": 0}, {"minimise": "cost", "maximise": "mfu"}, {"pareto": ["cost"]},
    {"pareto": ["cost", "cost"]}, {"engine": "slurm"}, {"scheduler": "tcp://nowhere:1"}, {"engine": "dask"},
    {"resume": True}, {"force": True},
])  # fmt: skip
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(EstimateError):
        gpuhours.sweep(run_of(GPT), {"layout.tensor": [1, 2]}, **options)


def test_many_values_on_one_key() -> None:
    found = gpuhours.sweep(run_of(GPT), {"data.tokens": range(10**9, 10**9 + 200_000)}, maximise="gpu_hours", top=1)
    assert found.rows == 200_000
    assert found.table["data.tokens"].to_pylist() == [10**9 + 199_999]


def test_processes_give_the_same_rows(tmp_path: Path) -> None:
    from gpuhours.questions.sweeping.engines import process_answers
    from gpuhours.questions.sweeping.running import make_job

    data, vary = CASES["layout"]
    job = make_job(run_of(data), vary, (), None, (None, None, None, None), block_rows=900)
    alone = [job.block(number) for number in range(job.grid.blocks)]
    found = dict(process_answers(job.block, range(job.grid.blocks), 2))
    assert [found[number] for number in range(job.grid.blocks)] == alone


def test_rows_that_contradict_themselves_are_those_that_estimate_refuses() -> None:
    data = {**GPT, "known": {"gpu_hours": "10000"}, "layout": None}
    found = gpuhours.sweep(
        run_of(data), {"known.days": "1,6.51041666667,30", "known.mfu": "30%,99%", "hardware.gpus": [64]}
    )
    refused = []
    for row in found.table.to_pylist():
        try:
            gpuhours.estimate(found.job.grid.run_with(row))
            refused.append(False)
        except EstimateError:
            refused.append(True)
    assert [not row["valid"] for row in found.table.to_pylist()] == refused
    assert any(refused)
    everything = gpuhours.sweep(
        run_of({**GPT, "data": {"seq_len": 2048, "tokens": "100B"}, "known": {"days": 1}}), {"hardware.gpus": [8, 512]}
    )
    assert everything.table["valid"].to_pylist() == [False, True]
    assert "of the dense peak" in everything.table["reason"][0].as_py()


@pytest.mark.parametrize("key", ["layout.pipeline", "layout.schedule", "layout.interleave"])
def test_chunks_that_were_only_assumed_forbid_no_row(key: str) -> None:
    """Chunks are assumed for GPT-3; a row with another pipeline or schedule is not refused because of them."""
    from tests.benchmarks.speed import GPT3

    run = run_of(GPT3)
    assumed = gpuhours.estimate(run).to_dict()["assumptions"]
    assert next(one["value"] for one in assumed if one["name"] == "layout.interleave") > 1
    values = {"layout.pipeline": "1,2,4,8", "layout.schedule": "1f1b,interleaved,zb-1p", "layout.interleave": "1,2,4"}[
        key
    ]
    rows = gpuhours.sweep(run, {key: values}).table.to_pylist()
    assert not [row["reason"] for row in rows if row["reason"]]


def test_the_spaces_of_the_benchmark_can_be_swept() -> None:
    from gpuhours.questions.sweeping.running import make_job
    from tests.benchmarks.speed import GPT3, OFFERED, SMALL, SPACE

    for space, rows in ((SMALL, 65_520), (SPACE, 9_434_880)):
        assert make_job(run_of(GPT3), space, (), OFFERED, (None, None, None, None)).grid.rows == rows


def test_chunks_that_do_not_divide_are_told_those_that_would() -> None:
    """24 layers, with 12 or 6 of them on a stage."""
    found = gpuhours.sweep(gpuhours.from_dict(GPT), {"layout.pipeline": "2,4", "layout.interleave": "2,5"})
    kept, refused = (
        {reason for each, reason in zip(*(found.table[name].to_pylist() for name in ("layout.interleave", "reason")), strict=True)
         if each == chunks}
        for chunks in (2, 5)
    )  # fmt: skip
    assert kept == {None}
    told = " and ".join(sorted(refused))
    assert "interleave may be 1, 2, 3, 4, 6 or 12 at pipeline 2" in told
    assert "1, 2, 3 or 6 at pipeline 4" in told


def test_a_value_that_sets_two_keys_is_no_axis() -> None:
    """480x832 is a width and a height; dropping one would give the answer for a square."""
    both = gpuhours.estimate(
        model="wan-2.1-1.3b", frames=81, resolution="480x832", gpu="h100-sxm-80gb", gpus=8, batch=8, steps=10
    )
    square = gpuhours.estimate(
        model="wan-2.1-1.3b", frames=81, resolution=832, gpu="h100-sxm-80gb", gpus=8, batch=8, steps=10
    )
    assert both.run.data.height == 480
    assert both.results["tokens"].value < square.results["tokens"].value  # type: ignore[union-attr]
    with pytest.raises(EstimateError, match=r"data\.height as well"):
        gpuhours.sweep(square.run, {"data.resolution": ["480x832"]})


def test_a_flag_s_name_is_its_key() -> None:
    """``--vary gpus=`` and ``--set batch=``, as users write them by analogy with ``--gpus`` and ``--batch``."""
    run = gpuhours.estimate(model="llama-3-8b", gpu="h100-sxm-80gb", gpus=64, tokens="1B", batch=64).run
    said, meant = (gpuhours.sweep(run, {key: [64, 128]}).to_arrow() for key in ("gpus", "hardware.gpus"))
    assert said.equals(meant)
    assert setting("--seq-len=8k") == ("data.seq_len", "8k")
    assert setting("lora=16") == ("lora", 16)


def test_an_array_without_axes_is_no_list_of_values() -> None:
    with pytest.raises(EstimateError, match="not a list of values"):
        gpuhours.sweep(run_of(GPT), {"layout.tensor": np.array(4)})
