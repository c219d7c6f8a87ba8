"""Encoders, video, contrastive models and diffusion against measured steps, our own and published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuhours.architecture import read_model
from gpuhours.architecture.operators import Model
from gpuhours.architecture.spec import Training
from gpuhours.data import Data
from gpuhours.flops import part_flops
from gpuhours.hardware.clusters import Cluster, cluster
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.choices import Recompute, Sharding, VisionPlacement
from gpuhours.layout.layout import Layout
from gpuhours.memory import memory
from gpuhours.questions.validating import Judged, validate
from gpuhours.questions.validating.averages import BEYOND
from gpuhours.questions.validating.described import Described
from gpuhours.questions.validating.rows import described_runs
from gpuhours.software.profile import Software, load_software
from gpuhours.step import step
from gpuhours.step.features import feature_parts
from gpuhours.workload import Workload

FURTHEST = {"h200-vision": 0.13, "h100-video": 0.18, "h100-loss": 0.08}
"""Largest error allowed for our own steps; on H100 the largest errors are those of small host-bound autoencoders of 2021."""


@cache
def judged(name: str) -> tuple[Judged, ...]:
    """Return the judged runs of one source, with everything known."""
    return validate(next(path for path in described_runs() if path.stem == name), in_sample=True).judged


def own() -> list[Judged]:
    return [one for name in FURTHEST for one in judged(name)]


def error(one: Judged) -> float:
    assert one.error is not None
    return one.error


def step_error(one: Judged) -> float:
    """Return the error of the step alone, for an average over a whole run: without stops and what else runs lose."""
    assert one.predicted
    assert one.measured
    return (one.predicted - one.parts[BEYOND]) / one.measured - 1


def seconds(name: str) -> tuple[float, float]:
    """Return the measured and predicted time of one of our own rows."""
    one = next(one for one in own() if one.row.id == name)
    assert one.measured
    assert one.predicted
    return one.measured, one.predicted


@pytest.mark.parametrize(
    ("source", "which", "median"),
    [
        ("h200-vision", lambda name: name.startswith("s1") and not name.endswith("fwd"), 0.04),
        ("h200-vision", lambda name: name.endswith("fwd"), 0.04),
        ("h200-vision", lambda name: name.startswith(("ddp", "fsdp")), 0.04),
        ("h100-video", lambda name: True, 0.06),
        ("h100-loss", lambda name: True, 0.03),
    ],
    ids=["training", "forward only", "data parallel", "video", "losses by blocks"],
)
def test_own_steps(source: str, which: Callable[[str], bool], median: float) -> None:
    errors = [abs(error(one)) for one in judged(source) if which(one.row.id)]
    assert len(errors) >= 5
    assert np.median(errors) < median


@pytest.mark.parametrize(("source", "most"), FURTHEST.items())
def test_no_step_is_far_off(source: str, most: float) -> None:
    assert {one.row.id: error(one) for one in judged(source) if not abs(error(one)) < most} == {}


def test_h100_steps_were_predicted_blind() -> None:
    """Predictions made before the measurements, with what the model did not know then; stored with the measurements and judged."""
    errors = [one.blind_error for one in judged("h100-video") if one.blind_error is not None]
    assert len(errors) == len(judged("h100-video"))
    assert np.median(np.abs(errors)) == pytest.approx(0.093, abs=0.001)


@pytest.mark.parametrize(
    ("source", "median", "most"), [("h200-vision", 0.03, 0.12), ("h100-video", 0.03, 0.18), ("h100-loss", 0.01, 0.04)]
)
def test_memory_of_own_steps(source: str, median: float, most: float) -> None:
    errors = [abs(one.memory_error) for one in judged(source) if one.memory_error is not None]
    assert len(errors) == len(judged(source))
    assert np.median(errors) < median
    assert max(errors) < most


def test_frames_that_pass_a_frozen_encoder_take_memory() -> None:
    """Forward only on H200: 2.24 GB for 256 images through ViT-L, of which 0.6 GB are weights."""
    one = next(one for one in own() if one.row.id == "s1_vit-l14_s257_b256_bf16_none_none_a1_fwd")
    assert one.memory_error == pytest.approx(0, abs=0.08)


def test_an_encoder_on_the_first_stage_against_one_shared_out() -> None:
    """Two H100, 8 micro-batches of 16 frames: the imbalance costs a factor of 1.117; predicted before it was measured."""
    (first, predicted_first), (shared, predicted_shared) = (
        seconds("pipeline-first-stage"),
        seconds("pipeline-replicated"),
    )
    assert first / shared == pytest.approx(1.117, abs=0.001)
    assert predicted_first / predicted_shared == pytest.approx(first / shared, rel=0.03)


@pytest.mark.parametrize("frames", ["64f-frozen", "256f-frozen", "128f-trained"])
def test_a_long_video_by_ring_and_by_ulysses(frames: str) -> None:
    """Four H100: frames distributed, features gathered, tokens shared; rings with FlashAttention-2 compared with Ulysses with cuDNN."""
    (ring, predicted_ring), (heads, predicted_heads) = (
        seconds(f"long-{way}-{frames}") for way in ("zigzag", "ulysses")
    )
    assert predicted_ring / predicted_heads == pytest.approx(ring / heads, rel=0.08)


# where the encoder stands

VIDEO = {
    "vision": {"name": "vit-bigg-14", "trainable": "frozen"},
    "bridge": {"kind": "mlp", "downsample": 2},
    "language": {"params": "27B"},
}


def with_vision(vision: VisionPlacement, gpus: int = 0) -> Any:
    """Return a 27B language model on 512 H100, tensor 4 x pipeline 8, behind a frozen ViT-bigG on 64 frames."""
    model = read_model(VIDEO).build(Data(frames=64, text_tokens=256, resolution=224))
    layout = Layout(tensor=4, pipeline=8, sharding=Sharding.zero1, recompute=Recompute.selective)
    layout = layout.replaced(vision=vision, vision_gpus=gpus)
    return step(
        Workload(
            model, 2048, layout, cluster("h100-sxm-80gb", None, 512 + gpus), load_software("megatron-core"), Precision()
        )
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
    together = step(Workload(model, 2048, layout, machine, load_software("megatron-core"), Precision())).time
    alone = [with_vision(VisionPlacement(code), gpus).time for code, gpus in ((0, 0), (1, 0), (2, 128))]
    assert np.allclose(together, alone, rtol=1e-12)


@pytest.mark.parametrize("placement", VisionPlacement, ids=lambda placement: placement.name)
@pytest.mark.parametrize("pipeline", [1, 8])
def test_sending_features_is_felt_whatever_hides_it(
    placement: VisionPlacement, pipeline: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand times the bytes takes longer for every way of sending features."""
    model = read_model(VIDEO).build(Data(frames=64, text_tokens=256, resolution=224))
    gpus = 64 if placement is VisionPlacement.separate else 0
    layout = Layout(tensor=4, context=2, pipeline=pipeline, sharding=Sharding.zero1, recompute=Recompute.selective)
    layout = layout.replaced(vision=placement, vision_gpus=gpus)
    inputs = (
        model,
        2048,
        layout,
        cluster("h100-sxm-80gb", None, 512 + gpus),
        load_software("megatron-core"),
        Precision(),
    )
    usual = step(Workload(*inputs)).time
    monkeypatch.setattr(
        "gpuhours.step.predict.feature_parts",
        lambda workload: {name: passes * 1000 for name, passes in feature_parts(workload).items()},
    )
    assert step(Workload(*inputs)).time > 1.05 * usual


def shared_out(
    trainable: Training, frames: int, gpus: int = 16, stack: str = "megatron-core", **layout: Any
) -> tuple[Model, int, Layout, Cluster, Software, Precision]:
    """Return the inputs of a workload: a 1.3B language model behind a ViT-bigG, which has ``gpus`` of its own if placed separately."""
    vision, language = {"name": "vit-bigg-14", "trainable": trainable}, {"params": "1.3B"}
    model = read_model({**VIDEO, "vision": vision, "language": language}).build(
        Data(frames=frames, text_tokens=256, resolution=224)
    )
    own = gpus if layout["vision"] is VisionPlacement.separate else 0
    placed = Layout(**layout, vision_gpus=own)
    machine = cluster("h100-sxm-80gb", None, 128 + own)
    return model, 256, placed, machine, load_software(stack), Precision()


@given(
    trainable=st.sampled_from(["frozen", "full"]),
    frames=st.sampled_from([1, 16, 64]),
    stack=st.sampled_from(["megatron-core", "torch-eager"]),
    vision=st.sampled_from(VisionPlacement),
    sharding=st.sampled_from(Sharding),
    tensor=st.sampled_from([1, 2, 4]),
    pipeline=st.sampled_from([1, 4]),
    context=st.sampled_from([1, 2]),
)
@settings(max_examples=25)
def test_better_parts_never_slow_a_step(trainable: Training, frames: int, stack: str, **layout: Any) -> None:
    model, batch, placed, here, software, precision = shared_out(trainable, frames, stack=stack, **layout)
    node, chip = here.node, here.accelerator
    better = [
        replace(here, node=replace(node, nic_bandwidth=2 * node.nic_bandwidth)),
        replace(
            here,
            node=replace(node, link_bandwidth=2 * node.link_bandwidth),
            accelerator=replace(chip, pair_bandwidth=2 * chip.pair_bandwidth),
        ),
        replace(here, accelerator=replace(chip, memory_bandwidth=1.3 * chip.memory_bandwidth)),
        replace(here, accelerator=replace(chip, peak={name: 1.3 * peak for name, peak in chip.peak.items()})),
    ]
    usual = step(Workload(model, batch, placed, here, software, precision))
    assert sum(usual.parts.values()) == pytest.approx(usual.time)
    for machine in better:
        assert step(Workload(model, batch, placed, machine, software, precision)).time <= usual.time * (1 + 1e-9)


@pytest.mark.parametrize("context", [1, 2, 4, 8])
def test_an_encoder_apart_works_no_faster_than_its_own_gpus_can(context: int) -> None:
    """For any split of the language model's sequence: 16 of 144 GPUs encode 256 x 64 frames."""
    inputs = shared_out("frozen", 64, vision=VisionPlacement.separate, context=context)
    model, found = inputs[0], step(Workload(*inputs))
    encoding = sum(float(part_flops(part).forward) for part in model.encoder)
    assert found.time > 256 * encoding / (16 * inputs[3].accelerator.peak_for("bf16"))


def test_an_encoder_apart_sums_its_gradients_once() -> None:
    """ZeRO-3 scatters gradients as they are computed, so nothing of the language model remains for the end of the step."""
    parts = [
        step(Workload(*shared_out("full", 1, vision=vision, sharding=Sharding.zero3))).parts["data communication"]
        for vision in (VisionPlacement.separate, VisionPlacement.first_stage)
    ]
    assert parts[0] < parts[1]


def test_the_host_launches_a_replicated_encoder_whole_on_every_stage() -> None:
    """In a host-bound run, each of four stages launches a quarter of the language model and the whole encoder."""
    few = {
        (vision, pipeline): step(
            Workload(*shared_out("frozen", 1, stack="torch-eager", vision=vision, pipeline=pipeline))
        ).parts["CPU overhead"]
        / (pipeline * 2)
        for vision in (VisionPlacement.replicated, VisionPlacement.first_stage)
        for pipeline in (1, 4)
    }
    assert few[VisionPlacement.replicated, 4] > 0.4 * few[VisionPlacement.replicated, 1]


def test_gpus_of_its_own_hold_a_trained_encoder() -> None:
    """ViT-bigG with AdamW needs 16 bytes per parameter and the activations of 64 frames per sample; fewer GPUs hold more samples each."""
    held = {gpus: memory(Workload(*shared_out("full", 64, gpus, vision=VisionPlacement.separate))) for gpus in (2, 16)}
    assert all(one.stage == -1 for one in held.values())
    assert held[16].allocated > 1.8e9 * 16
    assert held[2].parts["activations"] == pytest.approx(8 * held[16].parts["activations"])
    assert held[2].parts["weights"] == held[16].parts["weights"]


# whole runs: hours or samples per second, including data loading and evaluation


def fastest(runs: tuple[Judged, ...]) -> dict[tuple[str, int, int], Judged]:
    """Return the fastest run of each configuration: model, GPUs, samples per GPU."""
    alike: dict[tuple[str, int, int], list[Judged]] = defaultdict(list)
    for one in runs:
        assert isinstance(one.case, Described)
        name = one.case.resolved.model.name if one.case.resolved.model else ""
        alike[name, one.case.gpus, int(one.case.layout.microbatch)].append(one)
    return {key: min(group, key=lambda one: one.measured or np.inf) for key, group in alike.items()}


def test_openclip_where_the_gpu_sets_the_pace() -> None:
    """A100 40 GB, 2022; not used for fitting.

    GEMMs of 197 and 257 tokens run as BigScience's odd heads do. Uses the fastest run of each configuration of B/16, L/14, H/14 and
    g/14, except the one that prints half of its GPUs.
    """
    errors = {
        key: step_error(one)
        for key, one in fastest(judged("openclip")).items()
        if "b-32" not in key[0].lower() and one.row.id != "openclip-l-14_80m_13b"
    }
    assert len(errors) >= 10
    assert np.median(np.abs(list(errors.values()))) < 0.13
    assert np.mean(np.abs(list(errors.values())) < 0.15) >= 0.6
    assert max(map(abs, errors.values())) < 0.25


def test_runs_alike_differ_by_more_than_any_model_can_explain() -> None:
    """B/32 on 344 GPUs with 256 pairs each: 99,289 to 219,759 pairs per second."""
    alike = [one.measured for one in judged("openclip") if "b-32" in one.row.id and one.measured and one.case
             and one.case.gpus == 344]  # fmt: skip
    assert max(alike) / min(alike) > 2


def test_small_pictures_come_out_too_fast() -> None:
    """Predicted steps of B/32 and the autoencoders on V100 are 22 to 71 % too short; the model does not explain these averages.

    B/32 needs 850 decoded pairs per second and GPU.
    """
    small = [one for name, one in fastest(judged("openclip")).items() if "b-32" in name[0].lower()]
    small += [one for one in judged("masked-autoencoders") if one.row.id in ("MAE-001", "VIDEOMAE-001", "MAE-002")]
    assert len(small) >= 5
    for one in small:
        assert -0.72 < step_error(one) < -0.22


@pytest.mark.parametrize("row", ["MAE-003", "MAE-004"])
def test_larger_encoders_fine_tuned_on_v100(row: str) -> None:
    """ViT-L and ViT-H, whole runs that were not used for fitting."""
    assert abs(error(next(one for one in judged("masked-autoencoders") if one.row.id == row))) < 0.15


def test_the_whole_batch_is_compared() -> None:
    """Features of 8 times the ranks take longer to gather, as the loss uses the whole batch."""
    model = read_model("clip-b-32").build(Data(frames=1, resolution=224))
    sent = [
        step(Workload(model, 256 * gpus, Layout(microbatch=256), cluster("a100-sxm-80gb", None, gpus), load_software("torch-eager"),
             Precision("bf16", "amp"))).parts["data communication"]
        for gpus in (1, 128, 1024)
    ]  # fmt: skip
    assert sent[0] == 0
    assert sent[1] < sent[2]


def test_video_latents_of_a_hundred_thousand_tokens() -> None:
    """At Open-Sora's length, attention over the whole clip costs more than alternating spatial and temporal attention."""
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
        found = step(
            Workload(spec.build(data), 1, layout, machine, load_software("torch-eager"), Precision("bf16", "mixed"))
        )
        times[attends] = found
    assert times["clip"].parts["context communication"] > 0
    assert times["alternating"].parts["context communication"] == 0
    assert times["clip"].parts["attention"] > 10 * times["alternating"].parts["attention"]
    assert times["clip"].model_flops > times["alternating"].model_flops
