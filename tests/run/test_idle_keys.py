"""A key that changes nothing is remarked; the same key where it counts is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import gpuhours
from gpuhours.hardware.clusters import cluster
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.layout import Layout
from gpuhours.run.idle_keys import idle_keys
from gpuhours.run.resolve import resolve

TEXT: Mapping[str, Any] = {"model": "llama-3-8b", "data": {"tokens": "1T", "seq_len": 8192}}
VIDEO: Mapping[str, Any] = {
    "model": {"vision": {"name": "vit-l-14"}, "bridge": {"kind": "mlp"}, "language": {"name": "llama-3-8b"}},
    "data": {"frames": 16, "text_tokens": 512, "dataset_samples": "1M"},
}
ONE_NODE, TWO_NODES = (cluster("h100-sxm-80gb", None, gpus) for gpus in (8, 16))


def said(run: Mapping[str, Any], key: str, value: Any, **beside: Any) -> bool:
    """Whether a run with ``key: value`` and the keys ``beside`` it (block__name) is told that the key has no effect."""
    settings = {key: value} | {name.replace("__", "."): one for name, one in beside.items()}
    described = gpuhours.from_dict(dict(run), settings=settings)
    machine, layout = (
        (TWO_NODES, Layout(tensor=2, pipeline=2)) if "many" in run.get("name", "") else (ONE_NODE, Layout())
    )
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
        (TEXT, "operation.failures", 1e-3, {"known__goodput": 0.9}),
        (TEXT, "operation.checkpoint_steps", 100, {"operation__checkpoint_interval": "1 hour"}),
        (TEXT, "operation.storage", "nvme", {"operation__checkpoint_bandwidth": "1 GB/s"}),
        (TEXT, "cost.terms", "spot", {"cost__price": "2 USD/hour"}),
        (TEXT, "cost.provider", "AWS", {"cost__price": "2 USD/hour"}),
        (TEXT, "cost.price", "2 USD/hour", {"cost__owned.years": 4}),
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
        (TEXT, "operation.failures", 1e-3, {}),
        (TEXT, "cost.terms", "spot", {}),
        (TEXT, "cost.power_share", 0.5, {}),
    ],
)
def test_a_key_with_effect_is_not(run: Mapping[str, Any], key: str, value: Any, beside: Mapping[str, Any]) -> None:
    assert not said(run, key, value, **beside)


def test_what_is_assumed_is_not_remarked() -> None:
    """A key that an assumption put there is not the user's word."""
    run = {**TEXT, "assumptions": {"data.fps": {"value": "2 FPS", "reason": "usual"}}}
    assert idle_keys(gpuhours.from_dict(run), ONE_NODE, Layout()) == ()


def test_an_estimate_shows_them() -> None:
    run = {**TEXT, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 8}, "known": {"mfu": 0.4}}
    found = gpuhours.estimate(gpuhours.from_dict(run, settings={"data.resolution": 224}))
    assert "data.resolution has no effect: the model sees no frames" in found.warnings


@pytest.mark.parametrize(("tokens", "refused"), [("4M", False), ("8M", True)])
def test_two_batches_that_differ_are_refused(tokens: str, refused: bool) -> None:
    """512 samples of 8,192 tokens are 4.19 M tokens: "4M" is the same in round numbers, "8M" is not."""
    run = gpuhours.from_dict(dict(TEXT), settings={"training.global_batch": 512, "training.batch_tokens": tokens})
    if not refused:
        assert resolve(run).global_batch == 512
        return
    with pytest.raises(EstimateError, match="4,194,304 tokens a step") as caught:
        resolve(run)
    assert caught.value.where == "training.batch_tokens"
