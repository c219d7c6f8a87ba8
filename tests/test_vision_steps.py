"""Vision transformers and masked video autoencoders against our own steps on H200."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture import read_model
from gpuhours.architecture.operators import Model, Trainable
from gpuhours.data import Data
from gpuhours.hardware import cluster
from gpuhours.layout import Layout, Recompute, Sharding, VisionPlacement
from gpuhours.memory import memory
from gpuhours.precision import Precision
from gpuhours.software import load_software
from gpuhours.step import step

PLAIN = {"kind": "vision", "patch": 14, "pre_norm": False, "classes": 1000}
MODELS: dict[str, dict[str, Any]] = {
    "vit-l14": {**PLAIN, "layers": 24, "hidden": 1024, "heads": 16},
    "vit-h14": {**PLAIN, "layers": 32, "hidden": 1280, "heads": 16},
    "vit-g14": {**PLAIN, "layers": 40, "hidden": 1408, "heads": 16, "ffn_hidden": 6144},
    "videomae-h": {
        "kind": "masked-autoencoder",
        "encoder": {"layers": 32, "hidden": 1280, "heads": 16, "patch": 16, "tubelet": 2, "class_token": False,
                    "positions": "fixed", "attends": "clip", "pre_norm": False},
        "mask_ratio": 0.75, "decoder_layers": 8, "decoder_hidden": 640,
    },
}  # fmt: skip
"""The plain PyTorch models that were timed: pre-norm encoders, a classifier head; VideoMAE's encoder and decoder."""
STATES = {"amp": "amp", "bf16m": "mixed", "bf16": "pure", "fsdp_mp": "amp"}


@dataclasses.dataclass(frozen=True)
class Measured:
    """One timed step."""

    id: str
    training: bool
    single: bool
    seconds: float
    allocated: float
    predicted: float
    held: float

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.seconds - 1


@cache
def measured() -> tuple[Measured, ...]:
    """Every row of ``published/vision_h200.csv`` beside its prediction."""
    path = files("gpuhours") / "published" / "vision_h200.csv"
    with path.open(encoding="utf-8") as table:
        return tuple(predicted(row) for row in csv.DictReader(table))


def predicted(row: dict[str, str]) -> Measured:
    """One row's step and memory."""
    training, gpus, batch = row["mode"] == "train", int(row["gpus"]), int(row["micro_batch"])
    model = read_model(MODELS[row["model"]]).build(Data(frames=16 if "video" in row["model"] else 1, resolution=224))
    layout = Layout(
        microbatch=batch, recompute=Recompute[row["recompute"]],
        sharding=Sharding.zero3 if row["strategy"] == "fsdp2" else Sharding.none,
    )  # fmt: skip
    inputs = (
        model if training else frozen(model), batch * gpus, layout, cluster("h200-sxm-141gb", None, gpus),
        load_software("torch-compile" if row["compile"] == "block" else "torch-eager"), Precision("bf16", STATES[row["precision"]]),
    )  # fmt: skip
    return Measured(
        row["id"], training, gpus == 1, float(row["step_ms"]) / 1e3, float(row["allocated_GB"]) * 1e9,
        float(step(*inputs).time), float(memory(*inputs).allocated),
    )  # fmt: skip


def frozen(model: Model) -> Model:
    """The same, forward only."""
    return dataclasses.replace(
        model, parts=tuple(dataclasses.replace(part, trainable=Trainable.FROZEN) for part in model.parts)
    )


@pytest.mark.parametrize(
    ("which", "median"),
    [
        (lambda one: one.training and one.single, 0.07),
        (lambda one: one.training and not one.single, 0.10),
        (lambda one: not one.training, 0.07),
    ],
    ids=["training", "data parallel", "forward only"],
)
def test_median_error_of_the_step(which: Callable[[Measured], bool], median: float) -> None:
    errors = [abs(one.error) for one in measured() if which(one)]
    assert len(errors) >= 4
    assert np.median(errors) < median


@pytest.mark.parametrize("one", measured(), ids=lambda one: one.id)
def test_no_step_is_far_off(one: Measured) -> None:
    """15 %; the worst are compiled VideoMAE steps, whose norms and GELU the profile makes too cheap."""
    assert one.predicted == pytest.approx(one.seconds, rel=0.16)


def test_memory_of_training() -> None:
    errors = [abs(one.held / one.allocated - 1) for one in measured() if one.training]
    assert np.median(errors) < 0.05
    assert max(errors) < 0.15


# where the encoder stands

VIDEO = {
    "vision": {"name": "vit-bigg-14", "trainable": "frozen"},
    "bridge": {"kind": "mlp", "downsample": 2},
    "language": {"params": "27B"},
}


def with_vision(vision: VisionPlacement, gpus: int = 0) -> Any:
    """A 27B language model on 512 H100, tensor 4 x pipeline 8, behind a frozen ViT-bigG on 64 frames."""
    model = read_model(VIDEO).build(Data(frames=64, text_tokens=256, resolution=224))
    layout = Layout(tensor=4, pipeline=8, sharding=Sharding.zero1, recompute=Recompute.selective)
    layout = layout.replaced(vision=vision, vision_gpus=gpus)
    return step(
        model, 2048, layout, cluster("h100-sxm-80gb", None, 512 + gpus), load_software("megatron-core"), Precision()
    )


def test_an_encoder_on_the_first_stage_sets_the_tick() -> None:
    first, shared = with_vision(VisionPlacement.first_stage), with_vision(VisionPlacement.replicated)
    assert first.parts["pipeline bubble"] > 5 * shared.parts["pipeline bubble"]
    assert first.time > 1.3 * shared.time


def test_enough_gpus_of_its_own_hide_the_encoder() -> None:
    few, many = with_vision(VisionPlacement.separate, 16), with_vision(VisionPlacement.separate, 128)
    assert few.valid
    assert many.valid
    assert few.time > many.time
    assert many.time < with_vision(VisionPlacement.replicated).time


def test_separate_without_gpus_is_no_layout() -> None:
    found = with_vision(VisionPlacement.separate)
    assert not found.valid
    assert any("vision_gpus" in reason for reason, broken in found.reasons.items() if broken)


def test_placements_as_an_array_are_the_placements_one_by_one() -> None:
    model = read_model(VIDEO).build(Data(frames=64, text_tokens=256, resolution=224))
    layout = Layout(tensor=4, pipeline=8, sharding=Sharding.zero1, recompute=Recompute.selective)
    layout = layout.replaced(vision=np.array([0, 1, 2]), vision_gpus=np.array([0, 0, 128]))
    machine = cluster("h100-sxm-80gb", None, np.array([512, 512, 640]))
    together = step(model, 2048, layout, machine, load_software("megatron-core"), Precision()).time
    alone = [with_vision(VisionPlacement(code), gpus).time for code, gpus in ((0, 0), (1, 0), (2, 128))]
    assert np.allclose(together, alone, rtol=1e-12)


# published run averages: hours of a whole run, data loading and all, over its steps

CLIP_A100 = [
    # model, GPUs, global batch, samples/s measured, recompute (github LAION-AI/scaling-laws-openclip, throughput per run)
    ("clip-l-14", 396, 88704, 40027, "full"),
    ("clip-h-14", 824, 79104, 34608, "full"),
    ("clip-g-14", 800, 64000, 24800, "full"),
]


@pytest.mark.parametrize(("name", "gpus", "batch", "rate", "recompute"), CLIP_A100)
def test_openclip_is_predicted_too_fast(name: str, gpus: int, batch: int, rate: float, recompute: str) -> None:
    """28 to 39 % short on A100-40GB: every size of open_clip in 2022 ran at 15 to 18 % MFU; what slows it is not shown."""
    model = read_model(name).build(Data(frames=1, resolution=224))
    layout = Layout(microbatch=batch // gpus, recompute=Recompute[recompute])
    machine = cluster("a100-sxm-40gb", None, gpus)
    seconds = step(model, batch, layout, machine, load_software("torch-2022"), Precision("bf16", "amp")).time
    assert 0.5 < seconds * rate / batch < 0.9


def test_the_whole_batch_is_compared() -> None:
    """Features of 8 times the ranks cost more to gather: the loss sees the whole batch."""
    model = read_model("clip-b-32").build(Data(frames=1, resolution=224))
    sent = [
        step(model, 256 * gpus, Layout(microbatch=256), cluster("a100-sxm-80gb", None, gpus), load_software("torch-eager"),
             Precision("bf16", "amp")).parts["data communication"]
        for gpus in (1, 128, 1024)
    ]  # fmt: skip
    assert sent[0] == 0
    assert sent[1] < sent[2]


DIT = [
    # dtype, seconds, within (github chuanyangjin/fast-DiT, README; one A100, batch 256, recomputed; the first two run a VAE too)
    ("tf32", 2.3256, 0.2),
    ("bf16", 1.7857, 0.2),
    ("bf16", 1.1905, 0.3),
]


@pytest.mark.parametrize(("dtype", "seconds", "within"), DIT)
def test_diffusion_transformer_steps(dtype: str, seconds: float, within: float) -> None:
    """DiT-XL/2 at 256 pixels. Without the VAE 27 % too slow: the table would need 65 % of peak in eager PyTorch."""
    model = read_model("dit-xl-2").build(Data(frames=1, resolution=256))
    layout = Layout(microbatch=256, recompute=Recompute.full)
    machine, software = cluster("a100-sxm-80gb", None, 1), load_software("torch-eager")
    assert step(model, 256, layout, machine, software, Precision(dtype, "amp")).time == pytest.approx(
        seconds, rel=within
    )


def test_video_latents_of_a_hundred_thousand_tokens() -> None:
    """Open-Sora's length: attention over the whole clip costs more than over frames and places in turn."""
    clip = {
        "kind": "diffusion",
        "layers": 28,
        "hidden": 1152,
        "heads": 16,
        "time_compression": 4,
        "latent_channels": 16,
    }
    data = Data(frames=97, resolution=1024)
    times = {}
    for attends in ("clip", "alternating"):
        spec = read_model({**clip, "attends": attends})
        assert spec.tokens_per_sample(data) > 100_000
        machine = cluster("h100-sxm-80gb", None, 8)
        layout = Layout(context=8, recompute=Recompute.full, sharding=Sharding.zero3)
        found = step(spec.build(data), 1, layout, machine, load_software("torch-eager"), Precision("bf16", "mixed"))
        times[attends] = found
    assert times["clip"].parts["context communication"] > 0
    assert times["alternating"].parts["context communication"] == 0
    assert times["clip"].parts["attention"] > 10 * times["alternating"].parts["attention"]
    assert times["clip"].model_flops > times["alternating"].model_flops
