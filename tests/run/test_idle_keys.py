"""A key without effect is reported; the same key is not reported where it has an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import gpuhours
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.layout import Layout
from gpuhours.questions.listing.schemas import schema
from gpuhours.run.idle_keys import idle_keys
from gpuhours.run.resolve import resolve

TEXT: Mapping[str, Any] = {"model": "llama-3-8b", "data": {"tokens": "1T", "seq_len": 8192}}
STATED = {**TEXT, "software": "fsdp2-eager", "known": {"goodput": 0.9}}
VIDEO: Mapping[str, Any] = {
    "model": {"vision": {"name": "vit-l-14"}, "bridge": {"kind": "mlp"}, "language": {"name": "llama-3-8b"}},
    "data": {"frames": 16, "text_tokens": 512, "dataset_samples": "1M"},
}
ONE_NODE, TWO_NODES = (cluster("h100-sxm-80gb", None, gpus) for gpus in (8, 16))


def said(run: Mapping[str, Any], key: str, value: Any, **beside: Any) -> bool:
    """Whether a run with ``key: value`` and the keys ``beside`` it (block__name) reports that the key has no effect."""
    settings = {key: value} | {name.replace("__", "."): one for name, one in beside.items()}
    described = gpuhours.from_dict(dict(run), settings=settings)
    own = {name.removeprefix("layout."): one for name, one in settings.items() if name.startswith("layout.")}
    degrees = {"tensor": 2, "pipeline": 2} if "many" in run.get("name", "") else {}
    machine, layout = TWO_NODES if degrees else ONE_NODE, Layout(**degrees, **own)
    return any(text.startswith(f"{key} has no effect: ") for text in idle_keys(described, machine, layout))


@pytest.mark.parametrize(
    ("run", "key", "value", "beside"),
    [
        (TEXT, "data.fps", "2 FPS", {}),
        (TEXT, "data.resolution", 336, {}),
        (TEXT, "data.text_corpus", "1B", {}),
        (TEXT, "data.packed", True, {}),
        (TEXT, "data.padding", 0.2, {"data__packed": True}),
        (TEXT, "input.decoder", "gpu", {}),
        (VIDEO, "data.fps", "2 FPS", {}),
        (VIDEO, "data.video_hours", "10k hours", {"data__fps": "2 FPS"}),
        (VIDEO, "input.stored_fps", "30 FPS", {}),
        (VIDEO, "input.cores_per_gpu", 4, {"input__decoder": "gpu"}),
        (VIDEO, "input.storage_bandwidth", "1 GB/s", {}),
        (TEXT, "hardware.internode_bandwidth", "50 GB/s", {}),
        (TEXT, "layout.schedule", "zb-1p", {}),
        (TEXT, "layout.sequence_parallel", False, {}),
        (TEXT, "layout.shard_group", 16, {"layout__sharding": "zero3"}),
        ({**TEXT, "name": "many nodes"}, "layout.schedule", "interleaved", {}),
        (TEXT, "operation.failures", 1e-3, {"known__goodput": 0.9}),
        (TEXT, "operation.checkpoint_steps", 100, {"operation__checkpoint_interval": "1 hour"}),
        (TEXT, "operation.storage", "nvme", {"operation__checkpoint_bandwidth": "1 GB/s"}),
        (TEXT, "cost.terms", "spot", {"cost__price": "2 USD/hour"}),
        (TEXT, "cost.provider", "AWS", {"cost__price": "2 USD/hour"}),
        (TEXT, "cost.price", "2 USD/hour", {"cost__owned.years": 4}),
        (STATED, "year", 2021, {}),
        (TEXT, "cost.power_share", 0.5, {"cost__power": "500 W"}),
        (TEXT, "cost.host_share", 0.5, {"cost__boundary": "accelerators"}),
    ],
)
def test_a_key_without_effect_is_said(run: Mapping[str, Any], key: str, value: Any, beside: Mapping[str, Any]) -> None:
    assert said(run, key, value, **beside)


@pytest.mark.parametrize(
    ("run", "key", "value", "beside"),
    [
        (VIDEO, "data.fps", "2 FPS", {"input__stored_fps": "30 FPS"}),
        (VIDEO, "data.resolution", 336, {}),
        (VIDEO, "input.decoder", "gpu", {}),
        (VIDEO, "input.storage_bandwidth", "1 GB/s", {"input__sample_bytes": "50 MB"}),
        (TEXT, "data.packed", True, {"data__padding": 0.2}),
        ({**TEXT, "name": "many nodes"}, "hardware.internode_bandwidth", "50 GB/s", {}),
        ({**TEXT, "name": "many nodes"}, "layout.schedule", "zb-1p", {}),
        ({**TEXT, "name": "many nodes"}, "layout.sequence_parallel", False, {}),
        (TEXT, "layout.shard_group", 8, {"layout__sharding": "zero3"}),
        (TEXT, "operation.failures", 1e-3, {}),
        (TEXT, "cost.terms", "spot", {}),
        (TEXT, "cost.power_share", 0.5, {}),
    ],
)
def test_a_key_with_effect_is_not(run: Mapping[str, Any], key: str, value: Any, beside: Mapping[str, Any]) -> None:
    assert not said(run, key, value, **beside)


def test_what_is_assumed_is_not_remarked() -> None:
    """A key set by an assumption was not stated by the user."""
    run = {**TEXT, "assumptions": {"data.fps": {"value": "2 FPS", "reason": "usual"}}}
    assert idle_keys(gpuhours.from_dict(run), ONE_NODE, Layout()) == ()


def test_an_estimate_shows_them() -> None:
    run = {**TEXT, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8}, "known": {"mfu": 0.4}}
    found = gpuhours.estimate(gpuhours.from_dict(run, settings={"data.resolution": 224}))
    assert "data.resolution has no effect: the model takes no frames" in found.warnings


@pytest.mark.parametrize(("tokens", "refused"), [("4M", False), ("8M", True)])
def test_two_batches_that_differ_are_refused(tokens: str, refused: bool) -> None:
    """512 samples of 8,192 tokens are 4.19 M tokens: "4M" is the same after rounding, "8M" is not."""
    run = gpuhours.from_dict(dict(TEXT), settings={"training.global_batch": 512, "training.batch_tokens": tokens})
    if not refused:
        assert resolve(run).global_batch == 512
        return
    with pytest.raises(EstimateError, match="4,194,304 tokens per step") as caught:
        resolve(run)
    assert caught.value.where == "training.batch_tokens"


def test_more_layers_than_a_stage_has_are_all() -> None:
    layout = {"tensor": 1, "pipeline": 2, "microbatch": 1, "sharding": "zero1", "recompute": "full"}
    machine = {"accelerator": "h100-sxm-80gb", "gpus": 16}
    run = {**TEXT, "hardware": machine, "layout": layout, "training": {"global_batch": 16}}
    most, more = (gpuhours.from_dict(run, settings={"layout.recompute_layers": each}) for each in (16, 17))
    assert resolve(most).warnings == ()
    assert "no stage has more than 16 layers" in resolve(more).warnings[0]


@pytest.mark.parametrize(
    ("software", "batch", "idle"),
    [("fsdp-compile", 8, False), ("fsdp-compile", 64, True), ("megatron-core", 8, True), ("deepspeed", 512, True)],
)
def test_zero2_in_a_pipeline_is_reported_where_it_saves_nothing(software: str, batch: int, idle: bool) -> None:
    """One micro-batch of PyTorch's shards its gradients at once; stacks with buffers for the whole step never do."""
    run = {
        **TEXT, "software": software, "training": {"global_batch": batch}, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 16},
        "layout": {"pipeline": 2, "microbatch": 1, "recompute": "full"},
    }  # fmt: skip
    one, two = (
        gpuhours.estimate(gpuhours.from_dict(run, settings={"layout.sharding": kind})) for kind in ("zero1", "zero2")
    )
    assert any(text.startswith("layout.sharding has no effect: ") for text in two.warnings) is idle
    assert one.outcome.memory is not None
    assert two.outcome.memory is not None
    saved = 1 - float(two.outcome.memory.allocated) / float(one.outcome.memory.allocated)
    assert saved < 0.01 if idle else saved > 0.1


@pytest.mark.parametrize(
    ("software", "idle"), [("diffusers", True), ("trl", False), ("PyTorch FSDP2", False), ("fsdp2-eager", True)]
)
def test_a_year_that_decides_what_a_name_means_is_not_without_effect(software: str, idle: bool) -> None:
    """``diffusers`` is one stack of any year; ``trl`` and FSDP2 mean another of 2026."""
    run = gpuhours.from_dict({**STATED, "software": software, "year": 2026})
    found = idle_keys(run, TWO_NODES, Layout(), resolve(run).software)
    assert any(text.startswith("year has no effect: ") for text in found) is idle


WHOLE: Mapping[str, Any] = {
    "model": "llama-3-8b", "data": {"seq_len": 4096, "tokens": "10B"}, "training": {"global_batch": 64},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 16}, "software": "fsdp-eager",
    "layout": {"tensor": 2, "pipeline": 2, "sharding": "zero1", "recompute": "full", "microbatch": 1},
}  # fmt: skip
"""A run with a complete layout."""
AS_ASSUMED = {
    ("cost.boundary", "node"), ("cost.terms", "on-demand"), ("operation.storage", "lustre"), ("hardware.node", "dgx-h100"),
    ("hardware.node", "grand-teton"), ("hardware.node", "hgx-h100"), ("training.optimizer", "adamw"), ("operation.blocking", False),
}  # fmt: skip
"""Values that are what is taken where nothing is said (a Grand Teton is a DGX H100 of another maker; so small a checkpoint is written
as fast as it is copied)."""
TRIED = (2, "0.5", "10 GB/s", "1 hour")


def values(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> list[Any]:
    """Return some values that a key may take according to its schema."""
    inner = definitions[schema["$ref"].split("/")[-1]] if "$ref" in schema else schema
    several = [*inner.get("anyOf", ()), *inner.get("oneOf", ())]
    if several:
        return [value for one in several for value in values(one, definitions)]
    if "enum" in inner:
        return list(inner["enum"])[:6]
    return {"boolean": [True, False], "string": list(TRIED), "number": list(TRIED), "integer": list(TRIED)}.get(
        inner.get("type", ""), []
    )


BLOCKS = {
    "data": "Data", "input": "InputPipeline", "training": "Training", "hardware": "Hardware", "layout": "Layout",
    "operation": "Operation", "cost": "CostInputs", "known": "Known",
}  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_no_key_of_the_schema_is_without_effect_in_silence(block: str) -> None:
    """Every value of every key, stated alone, is refused, changes a result, or is reported as having no effect."""
    whole = schema("run")
    keys = whole["$defs"][BLOCKS[block]]["properties"]
    base = gpuhours.from_dict(dict(WHOLE))
    plain = gpuhours.estimate(base).to_dict()["results"]
    silent = set()
    for key, told in keys.items():
        for value in values(told, whole["$defs"]):
            try:
                run = gpuhours.from_dict(dict(WHOLE), settings={f"{block}.{key}": value})
                if getattr(run, block) == getattr(base, block):
                    continue
                found = gpuhours.estimate(run)
            except EstimateError:
                continue
            if found.to_dict()["results"] == plain and not any(key in text for text in found.warnings):
                silent.add((f"{block}.{key}", value))
    assert silent <= AS_ASSUMED
