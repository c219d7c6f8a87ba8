"""The JSON of every command: one envelope, stable keys, and the same units and words in all of them.

``GPUHOURS_WRITE=1 pytest tests/cli/test_json.py`` adds the keys that are new; it takes one away only if ``envelope.NUMBER`` is higher than
that of the written keys, because a key that went, or means something else, needs a higher number and a line in the changelog.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuhours import __version__
from gpuhours.questions.envelope import NUMBER
from gpuhours.run.results import RESULTS
from tests.conftest import Command

TESTS = Path(__file__).parents[1]
KEYS = TESTS / "snapshots" / "json-keys.yaml"
X_GEN, GPT, TEXT = (
    str(TESTS / "runs" / "x-gen.yaml"),
    str(TESTS / "runs" / "gpt-22b.yaml"),
    str(TESTS / "texts" / "bad-sparse.txt"),
)
OWN_RUNS = (
    "id,source_title,accelerator,gpus,model,params_b,layers,hidden,heads,kv_heads,ffn,vocab,seq_len,global_batch,microbatch,dtype,"
    "step_time_s\nmine,mine,h100-sxm-80gb,8,llama-2-7b,6.7,32,4096,32,32,11008,32000,4096,64,1,bf16,9.0\n"
)
TOTALS = "id,params_b,tokens_b,gpu,gpu_hours,mfu_pct\nllama-7b,6.7,1000,A100-80GB,82432,43.4\nodd,70,15000,A100-80GB,1000,40\n"
TRAIN_LOG = "".join(
    f" iteration {step:8}/     500 | consumed samples: {256 * step:12} | elapsed time per iteration (ms): {7400 + 9 * (step % 7):.1f} |"
    f" learning rate: 1.000E-04 | global batch size: {256:5} | lm loss: 3.1E+00 |\n"
    for step in range(1, 61)
)
"""Of gpt-22b.yaml."""
COMMANDS = {
    "estimate": ("estimate", X_GEN, "--set", "cost.country=France"),
    "reproduce": ("reproduce", "videomae-huge"),
    "check": ("check", TEXT),
    "check-table": ("check", "TOTALS.csv"),
    "sweep": ("sweep", GPT, "--vary", "hardware.gpus=64,128"),
    "plan": ("plan", GPT, "--set", "hardware.gpus=8"),
    "compare": ("compare", X_GEN, GPT),
    "report": ("report", GPT),
    "trace": ("trace", GPT),
    "validate": ("validate", "--runs", "RUNS.csv"),
    "calibrate": ("calibrate", GPT, "TRAIN.log"),
    "watch": ("watch", "TRAIN.log", "--run", GPT, "--once"),
    "estimate-observed": ("estimate", GPT, "--observed", "step_time=9.8s"),
    "hardware-list": ("hardware", "list"),
    "hardware-show": ("hardware", "show", "h100-sxm-80gb"),
    "models-list": ("models", "list"),
    "prices": ("prices", "--gpu", "h100"),
    "software-list": ("software", "list"),
    "software-show": ("software", "show", "megatron-core"),
    "init": ("init", "--params", "7B"),
    "export": ("export", GPT),
    "models-show": ("models", "show", "llama-2-7b"),
}
UNITS = {
    "", "parameter", "token", "sample", "epoch", "step", "FLOP", "second", "token/second/GPU", "byte", "GPU", "node", "rank",
    "GPU*hour", "USD", "Wh", "tCO2e", "frame/second", "core",
}  # fmt: skip
FIGURE, WHOLE = {"agrees", "contradicted", "not determined", None}, {"consistent", "contradicted", "not determined"}


DOCUMENTS: dict[str, str] = {}
"""What each command has printed, as text."""


def answered(gpuhours_command: Command, folder: Path, name: str) -> dict[str, Any]:
    """Return the JSON document of a command, which is run only once."""
    if name in DOCUMENTS:
        return dict(json.loads(DOCUMENTS[name]))
    files = {"RUNS.csv": OWN_RUNS, "TOTALS.csv": TOTALS, "TRAIN.log": TRAIN_LOG}
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    ran = gpuhours_command(*(str(folder / word) if word in files else word for word in COMMANDS[name]), "--json")
    assert ran.err == ""
    assert ran.code in (0, 1)
    DOCUMENTS[name] = ran.out
    return dict(json.loads(ran.out))


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield every path to a key; keys that are names of runs, models or results count once."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from keys(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")
    else:
        yield path


NAMED = re.compile(r"(?<=results)\.\w+")
"""Keys that are names of results; these names are checked once."""
OPEN = re.compile(
    r"(\binputs(\[\]\.[ab])?|\bshape|\bfigures|\blayout|\bby|\bvalues|\blevels|\bkernels|\btraining_flops_per_sample)(\.|$).*"
)
"""Blocks whose keys are chosen by users, or are names of profiles and groups."""


def pinned(document: dict[str, Any], name: str) -> list[str]:
    """Return the paths that must stay stable; open blocks count as one."""
    found = {OPEN.sub(r"\1.*", NAMED.sub(".NAME", path)) for path in keys(document)}
    if name == "sweep":
        found = {re.sub(r"^rows\[\]\..*", "rows[].*", path) for path in found}
    return sorted(found)


def test_no_result_is_lost() -> None:
    assert set(RESULTS) >= {
        "parameters", "trainable_parameters", "tokens", "steps", "model_flops_per_step", "hardware_flops_per_step", "model_flops",
        "step_time", "tokens_per_second_per_gpu", "mfu", "hfu", "memory_per_gpu", "fits", "gpus", "wall_clock", "gpu_hours", "goodput",
        "cost", "energy", "carbon", "checkpoint_bytes", "productive_time", "host_memory_per_node", "fits_probability", "samples",
        "epochs", "effective_tokens", "attention_flops", "nodes", "data_parallel", "frames_per_second", "decoding_cores", "data_time",
    }  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_keeps_its_keys(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    found = answered(gpuhours_command, tmp_path, name)
    command = name.split("-")[0]
    assert list(found)[:2] == ["schema", "version"]
    assert (found["schema"], found["version"]) == (f"gpuhours/{command}/{NUMBER}", __version__)
    now = pinned(found, name)
    kept = yaml.load(KEYS.read_text(encoding="utf-8"), yaml.CSafeLoader)
    if os.environ.get("GPUHOURS_WRITE"):
        kept = written(kept, name, now)
        KEYS.write_text(yaml.safe_dump(kept, width=100), encoding="utf-8")
    assert kept["schema"] == NUMBER, "write the keys of this number"
    assert gone(kept[name], now) == [], "a key that went needs a higher envelope.NUMBER; new keys are free"


def gone(kept: list[str], now: list[str]) -> list[str]:
    """Return the kept paths that a document no longer has; null stands for all that may be inside it."""
    inside = {path[:end] for path in now for end in (*(m.start() for m in re.finditer(r"[.\[]", path)), len(path))}
    return [
        path for path in kept if path not in inside and not any(path.startswith((f"{one}.", f"{one}[")) for one in now)
    ]


def written(kept: dict[str, Any], name: str, now: list[str]) -> dict[str, Any]:
    """Return the keys to keep from now on: under the same number all old ones too."""
    if kept["schema"] < NUMBER:
        kept = {"schema": NUMBER}
    return {**kept, name: sorted({*kept.get(name, ()), *now})}


def test_a_renamed_key_under_the_same_number_would_be_seen() -> None:
    kept = ["rows[].foretold_error", "sample", "sample.draws"]
    assert gone(kept, ["rows[].blind_error", "sample.draws"]) == ["rows[].foretold_error"]
    assert gone(kept, ["rows[].foretold_error", "sample"]) == []
    same = written({"schema": NUMBER, "validate": kept}, "validate", ["rows[].blind_error"])
    assert set(same["validate"]) == {*kept, "rows[].blind_error"}
    assert written({"schema": NUMBER - 1, "validate": kept}, "validate", ["rows[].blind_error"]) == {
        "schema": NUMBER, "validate": ["rows[].blind_error"],
    }  # fmt: skip


def units(value: Any) -> Iterator[str]:
    """Return every unit that occurs in a document."""
    if isinstance(value, dict):
        yield from (inner for key, inner in value.items() if key == "unit")
        for inner in value.values():
            yield from units(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from units(inner)


def test_results_are_counted_in_the_units_of_the_contract() -> None:
    assert {line.unit for line in RESULTS.values()} <= UNITS
    assert (RESULTS["energy"].unit, RESULTS["carbon"].unit, RESULTS["wall_clock"].unit) == ("Wh", "tCO2e", "second")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_document_speaks_of_joules_grams_or_abbreviated_seconds(
    gpuhours_command: Command, tmp_path: Path, name: str
) -> None:
    for unit in units(answered(gpuhours_command, tmp_path, name)):
        assert not set(re.split(r"[^A-Za-z0-9]+", unit)) & {"J", "s", "gCO2e", "W", "B"}, unit


def test_a_result_means_the_same_in_every_document(gpuhours_command: Command, tmp_path: Path) -> None:
    """GPT 22B: the estimate, the row of a sweep, the layout in a plan and the comparison give the same numbers in the same units."""
    own = json.loads(gpuhours_command("estimate", GPT, "--json").out)["results"]
    swept = json.loads(gpuhours_command("sweep", GPT, "--vary", "data.seq_len=2048", "--json").out)
    columns = {column["name"]: column["unit"] for column in swept["columns"]}
    compared = {one["name"]: one for one in json.loads(gpuhours_command("compare", GPT, GPT, "--json").out)["results"]}
    planned = json.loads(gpuhours_command("plan", GPT, "--json").out)["own"]["results"]
    assert {name for name, result in own.items() if result is not None} >= {"step_time", "mfu", "memory_per_gpu"}
    for name, result in own.items():
        assert name in compared
        if result is None:
            assert compared[name]["a"] is planned[name]["value"] is swept["rows"][0][name] is None
            continue
        assert result["unit"] == columns[name] == compared[name]["unit"] == planned[name]["unit"]
        for value in (swept["rows"][0][name], compared[name]["a"], planned[name]["value"]):
            assert value == pytest.approx(result["value"]), name


@pytest.mark.parametrize("name", ["check", "check-table", "reproduce"])
def test_verdicts_are_the_words_of_the_contract(gpuhours_command: Command, tmp_path: Path, name: str) -> None:
    found = answered(gpuhours_command, tmp_path, name)
    wholes = [found, *found.get("documents", ()), *found.get("runs", ())]
    assert {whole["verdict"] for whole in wholes if "verdict" in whole} <= WHOLE
    for whole in wholes:
        for figure in (*whole.get("claims", ()), *whole.get("figures", ())):
            assert figure["verdict"] in FIGURE
