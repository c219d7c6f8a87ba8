"""The run of a sample that a screen shows states its stack and layout, and uses the usual network rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpuhours
from gpuhours.hardware import clusters
from gpuhours.hardware.kernel_constants import network_constants
from gpuhours.hardware.networks import on_network
from gpuhours.layout.choices import Recompute
from gpuhours.run.ensemble import ensemble
from gpuhours.run.typical import network_share, typical

ASKED: dict[str, dict[str, Any]] = {
    "mixture": {"model": "deepseek-v3", "hardware": {"accelerator": "h800-sxm-80gb", "gpus": 2048}},
    "dense": {"model": "llama-2-70b", "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 512}},
    "small": {"model": "llama-2-7b", "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 128}},
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_step_that_is_shown_is_that_of_the_draw(asked: dict[str, Any]) -> None:
    """Not the step of its layout at the rated network speed, with the rest of the draw's time reported as stops."""
    sample = ensemble(gpuhours.from_dict({**asked, "data": {"tokens": "1T"}}))
    assert sample is not None
    assert np.median(sample.slower) == pytest.approx(1.0, abs=0.1)


def test_the_usual_network_is_an_assumption_with_its_source() -> None:
    run = {"model": "llama-2-7b", "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 128}, "data": {"tokens": "1T"}}
    sample = ensemble(gpuhours.from_dict(run))
    assert sample is not None
    met = sample.run.assumptions["hardware.network.share"]
    assert met.value == typical().network.value
    assert "NCCL tests" in met.source


def test_one_node_and_a_stated_network_assume_none() -> None:
    run = {"model": "llama-2-7b", "data": {"tokens": "1T"}}
    stated: tuple[dict[str, Any], ...] = (
        {"gpus": 8},
        {"gpus": 128, "internode_bandwidth": "25 GB/s"},
        {"gpus": 128, "network": {"share": 0.6}},
    )
    for hardware in stated:
        sample = ensemble(gpuhours.from_dict({**run, "hardware": {"accelerator": "a100-sxm-80gb", **hardware}}))
        assert sample is not None
        assert "hardware.network.share" not in sample.run.assumptions


def test_a_kind_of_network_that_was_measured_at_scale_loses_nothing_twice() -> None:
    """EFA of p5 reached 0.44 of its line rate on 8 to 64 nodes; its constants include this, and only the spread around it is drawn."""
    cluster = on_network(clusters.cluster("h100-sxm-80gb", gpus=256), "efa-p5")
    share = network_share(cluster)
    at_scale = network_constants(cluster.node.network)
    assert share.value == 1.0
    assert share.low * float(at_scale.typical_share(32)) == pytest.approx(0.06)
    assert share.high * float(at_scale.typical_share(32)) == pytest.approx(0.49)
    sample = ensemble(gpuhours.from_dict({
        "model": "llama-2-7b", "data": {"tokens": "1T"},
        "hardware": {"accelerator": "p5.48xlarge", "gpus": 256, "network": {"kind": "efa-p5"}},
    }))  # fmt: skip
    assert sample is not None
    assert "network" in sample.drawn
    assert "hardware.network.share" not in sample.run.assumptions


@pytest.mark.parametrize(("params", "gpu", "gpus"), [("3B", "h100-sxm-80gb", 16), ("13B", "h100-sxm-80gb", 64)])
def test_the_run_that_is_shown_recomputes_only_where_none_as_fast_does_not(params: str, gpu: str, gpus: int) -> None:
    """Whoever reads that 3B on 16 H100 recompute all activations, with three quarters of the memory free, takes it for advice."""
    run = {"model": {"params": params}, "hardware": {"accelerator": gpu, "gpus": gpus}, "data": {"tokens": "100B"}}
    sample = ensemble(gpuhours.from_dict(run))
    assert sample is not None
    assert sample.run.layout is not None
    assert sample.run.layout.recompute == Recompute.none
    assert np.median(sample.slower) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("model", ["llama-3-8b", "llama-2-13b", "qwen2.5-7b"])
def test_adapters_are_shown_as_most_of_the_sample_trains_them(model: str, dropout: bool) -> None:
    """85 of 100 trainers of adapters recompute everything, whatever that costs; the run shown is one of these."""
    asked = {"model": {"name": model, "trainable": "lora", "rank": 16, "dropout": dropout}, "data": {"tokens": "100M"}}
    sample = ensemble(gpuhours.from_dict({**asked, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 1}}))
    assert sample is not None
    assert sample.run.layout is not None
    assert sample.run.layout.recompute.name == "full"


def test_dropout_costs_time_whatever_is_open() -> None:
    """Its masks are work: neither another stack nor another recompute mode makes up for them."""
    for model in ("llama-3-8b", "llama-2-13b"):
        spent = []
        for dropout in (False, True):
            asked = {
                "model": {"name": model, "trainable": "lora", "rank": 16, "dropout": dropout},
                "data": {"tokens": "100M"},
            }
            sample = ensemble(gpuhours.from_dict({**asked, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 1}}))
            assert sample is not None
            spent.append(np.median(sample.gpu_time))
        assert 1.0 < spent[1] / spent[0] < 1.1


@pytest.mark.parametrize("tokens", ["10B", "30B"])
def test_a_run_that_fits_is_shown_where_one_of_the_sample_does(tokens: str) -> None:
    """70B on 16 H100: trainers of whole models do not fit, stacks that split one do: at 10B tokens an eighth of the sample."""
    keys = {
        "model": "llama-3-70b",
        "data.tokens": tokens,
        "hardware.accelerator": "h100-sxm-80gb",
        "hardware.gpus": 16,
        "year": 2025,
    }
    assert gpuhours.estimate(gpuhours.from_dict({}, "tuning", settings=keys)).fits
