"""The stack assumed for a run that names none: the usual one for what the run says of how its model is distributed."""

from __future__ import annotations

from typing import Any

import pytest

import gpuhours
from gpuhours.run.resolve import Resolved, resolve
from gpuhours.run.samplable import described, usual_practice
from gpuhours.software.profile import load_software

LARGE = {
    "model.params": "70B", "data.tokens": "1T", "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 512, "year": 2026,
}  # fmt: skip


def resolved(**keys: Any) -> Resolved:
    said = {key.replace("__", "."): value for key, value in keys.items()}
    return resolve(gpuhours.from_dict({}, settings={**LARGE, **said}))


@pytest.mark.parametrize(
    "said",
    [{"layout__microbatch": 1}, {"layout__recompute": "full"}, {"layout__context": 2}, {"layout__loss_blocks": 4}],
    ids=str,
)
def test_what_says_nothing_of_the_split_leaves_the_stack_as_it_is(said: dict[str, Any]) -> None:
    assert resolved(**said).software.name == resolved().software.name


def test_a_large_run_that_states_its_micro_batch_still_fits() -> None:
    run = {"known.mfu": 0.4, "layout.microbatch": 1}
    found = gpuhours.estimate(gpuhours.from_dict({}, settings={**LARGE, **run}))
    assert found.fits


@pytest.mark.parametrize(
    ("said", "like"),
    [
        ({"layout__tensor": 8}, {"layout__pipeline": 8}),
        ({"layout__tensor": 8}, {"layout__sharding": "zero1"}),
        ({"layout__data": 512}, {"layout__tensor": 1, "layout__pipeline": 1}),
    ],
    ids=str,
)
def test_what_is_stated_of_the_split_decides(said: dict[str, Any], like: dict[str, Any]) -> None:
    assert resolved(**said).software.name == resolved(**like).software.name


def test_split_sharded_and_copied_models_are_of_different_stacks() -> None:
    kinds = ({"layout__tensor": 8}, {"layout__sharding": "zero3"}, {"layout__data": 512})
    assert len({resolved(**said).software.name for said in kinds}) == 3


@pytest.mark.parametrize("year", [2022, 2024, 2026])
def test_one_accelerator_runs_what_a_plain_replica_runs(year: int) -> None:
    alone = resolved(hardware__gpus=1, year=year)
    assert alone.software.name == resolved(layout__data=512, year=year).software.name
    assert alone.software.family != "megatron"


@pytest.mark.parametrize("accelerators", [1, 8])
def test_no_trainer_that_tunes_a_model_on_samples_splits_it(accelerators: int) -> None:
    said = {"model": "llama-3.1-8b", "data": {"dataset_samples": 52000, "epochs": 3}, "year": 2025}
    machine = {"accelerator": "a100-sxm-80gb", "gpus": accelerators}
    drawn = described(gpuhours.from_dict({**said, "hardware": machine}), usual_practice())
    assert drawn is not None
    assert all(load_software(name).degrees == () for name in drawn.names if name != "torch-eager")
    assert not any(load_software(name).family == "megatron" for name in drawn.names)


@pytest.mark.parametrize(("model", "data"), [("llava-onevision-7b", {"data.dataset_samples": "600k", "data.epochs": 1}),
                                             ("llama-3.1-8b", {"data.dataset_samples": "100k", "data.epochs": 3})])  # fmt: skip
def test_whole_models_tuned_on_a_node_run_trainers_that_recompute(model: str, data: dict[str, Any]) -> None:
    """As InternVL's, MiniCPM-V's and LLaMA-Factory's scripts for it: none compiles or runs plain FSDP2, nearly all checkpoint."""
    machine = {"hardware.accelerator": "a100-sxm-80gb", "hardware.gpus": 8, "year": 2025}
    asked = described(gpuhours.from_dict({}, settings={"model": model, **data, **machine}), usual_practice())
    assert asked is not None
    assert all(name.startswith("huggingface") or name == "llama-factory" for name in asked.names)
    weights = asked.modes.weights
    assert weights["full"] / sum(weights.values()) > 0.8
