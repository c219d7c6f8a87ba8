"""Each known mistake is named if it is planted in otherwise correct figures."""

from __future__ import annotations

import math

import pytest

from gpuhours.questions.checking.claim import Claim, Document, Fact
from gpuhours.questions.checking.one_run import check_document
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.setting import attention_share

# a consistent run: 13B, 1.5T tokens, 256 H100 at 41 % MFU
N, D, G, MFU, PEAK = 13e9, 1.5e12, 256, 0.41, 989.4e12
COMPUTE = 6 * N * D * 1.03
HOURS = COMPUTE / (MFU * PEAK) / 3600 / 0.97
TRUE = {
    "parameters": N, "tokens": D, "gpus": G, "gpu_hours": HOURS, "wall_clock": HOURS / G * 3600, "mfu": MFU,
    "model_flops": COMPUTE, "flops_per_second_per_gpu": MFU * PEAK,
    "nodes": G / 8, "gpus_per_node": 8.0, "tokens_per_second_per_gpu": D / HOURS / 3600 / 0.97,
    "tokens_per_second": D / HOURS / 3600 / 0.97 * G,
    "steps": D / 4e6, "global_batch_tokens": 4e6, "seq_len": 4096.0, "global_batch": 4e6 / 4096,
    "energy": HOURS * 600 * 1.12, "gpu_power": 600.0, "carbon": HOURS * 600 * 1.12 * 0.4 / 1e6, "carbon_intensity": 0.4,
    "cost": HOURS * 2.5, "price": 2.5,
}  # fmt: skip


def document(stated: dict[str, float], **facts: str) -> Document:
    claims = tuple(Claim(name, value, Spread(value, 0.004, "")) for name, value in stated.items())
    known = {"accelerator": "h100-sxm-80gb", **facts}
    return Document("planted", claims, tuple(Fact(name, value) for name, value in known.items()))


def only(*names: str) -> dict[str, float]:
    return {name: TRUE[name] for name in names}


def test_the_true_run_is_consistent() -> None:
    assert check_document(document(TRUE)).verdict == "consistent"


WORK = ("parameters", "tokens", "gpus", "gpu_hours")
MISTAKES = [
    ("sparse peak", (*WORK, "mfu", "flops_per_second_per_gpu"), "mfu", 0.5, {}),
    ("HFU as MFU", (*WORK, "tokens_per_second_per_gpu", "mfu"), "mfu", 4 / 3, {}),
    ("2ND for 6ND", (*WORK, "model_flops"), "model_flops", 1 / 3, {}),
    ("8ND for 6ND", (*WORK, "model_flops"), "model_flops", 4 / 3, {}),
    ("MAC for FLOP", (*WORK, "model_flops", "mfu"), "model_flops", 0.5, {}),
    ("wall-clock for aggregate hours", (*WORK, "wall_clock"), "gpu_hours", 1 / G, {}),
    ("aggregate for wall-clock hours", (*WORK, "wall_clock"), "wall_clock", G, {}),
    ("nodes for GPUs", (*WORK, "wall_clock", "nodes", "gpus_per_node"), "gpus", 1 / 8, {}),
    ("GPUs for nodes", (*WORK, "wall_clock", "nodes", "gpus_per_node"), "nodes", 8, {}),
    ("all for per GPU", (*WORK, "tokens_per_second_per_gpu", "mfu"), "tokens_per_second_per_gpu", G, {}),
    ("replica for cluster", (*WORK, "tokens_per_second", "mfu"), "tokens_per_second", 1 / 32, {}),
    ("per node for per GPU", (*WORK, "tokens_per_second_per_gpu", "mfu"), "tokens_per_second_per_gpu", 8, {}),
    ("downtime", (*WORK, "wall_clock", "tokens_per_second_per_gpu"), "wall_clock", 1.5, {}),
    ("bytes read as tokens", (*WORK, "mfu"), "tokens", 4.0, {}),
    ("epochs forgotten", (*WORK, "steps", "global_batch_tokens"), "tokens", 1 / 4, {}),
    ("base model's tokens", (*WORK, "steps", "global_batch_tokens"), "tokens", 40.0, {"trainable": "lora"}),
    ("sequence-parallel ranks counted as readers", ("parameters", "tokens", "gpu_hours"), "tokens", 64, {"sequence_parallel": "yes"}),
    ("tokens for sequences", (*WORK, "steps", "global_batch", "seq_len"), "global_batch", 4096, {}),
    ("kWh for MWh", ("gpu_hours", "energy", "gpu_power"), "energy", 1000, {}),
    ("kilograms for tonnes", ("gpu_hours", "energy", "carbon", "carbon_intensity", "gpu_power"), "carbon", 1000, {}),
    ("PUE left out", ("gpu_hours", "energy", "gpu_power", "carbon", "carbon_intensity"), "energy", 1 / 1.5, {}),
    ("price per node", ("gpu_hours", "cost", "price"), "price", 8, {}),
    ("thousand, million, billion", ("gpu_hours", "cost", "price"), "cost", 0.001, {}),
    ("days for hours", (*WORK, "wall_clock"), "wall_clock", 24, {}),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "stated", "wrong", "factor", "facts"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_planted_mistake(cause: str, stated: tuple[str, ...], wrong: str, factor: float, facts: dict[str, str]) -> None:
    figures = only(*stated)
    figures[wrong] *= factor
    found = check_document(document(figures, **facts))
    assert found.verdict == "contradicted"
    first = found.contradictions[0]
    named = [entry.cause for entry in first.likely_causes]
    assert cause in named[:3], named
    entry = next(entry for entry in first.likely_causes if entry.cause == cause)
    assert 0 <= entry.explains <= 1


def test_epochs_are_named_when_they_are_stated() -> None:
    figures = only(*WORK, "steps", "global_batch_tokens") | {"epochs": 4.0, "dataset_tokens": D / 4}
    figures["tokens"] /= 4
    first = check_document(document(figures)).contradictions[0]
    assert first.likely_causes[0].cause == "epochs forgotten"
    assert first.likely_causes[0].factor == pytest.approx(0.25)


def test_masking_ignored() -> None:
    """VideoMAE-Huge on 32 A100 for 3.5 weeks: 6 x 632M x 1568 patches x 3e9 clips is 84 % of the peak; the encoder sees a quarter."""
    figures = {
        "parameters": 632e6, "gpus": 32.0, "wall_clock": 24.5 * 86400, "model_flops": 6 * 632e6 * 1568 * 3e9 * 1.3, "mask_ratio": 0.75,
    }  # fmt: skip
    claims = document(figures).claims
    facts = (Fact("accelerator", "a100-sxm-80gb"), Fact("architecture", "masked autoencoder"))
    first = check_document(Document("planted", claims, facts)).contradictions[0]
    assert "masking ignored" in [entry.cause for entry in first.likely_causes[:2]]


def test_attention_counted_in_full() -> None:
    share = attention_share(7e9, 131_072)
    assert share > 3  # at 128k tokens attention outweighs the rest
    figures = {"parameters": 7e9, "tokens": 1e11, "seq_len": 131_072.0, "model_flops": 6 * 7e9 * 1e11 * (1 + share)}
    first = check_document(document(figures)).contradictions[0]
    assert "attention counted in full or not at all" in [entry.cause for entry in first.likely_causes]


def test_gib_for_gb() -> None:
    figures = {"memory_per_gpu": 80e9 * 1.25}
    assert check_document(document(figures)).verdict == "contradicted"
    assert (
        check_document(read_paper("It ran on 8 H100 80GB GPUs, each with 80 GiB of memory.").single).verdict
        == "consistent"
    )
    printed = check_document(read_paper("It ran on 8 H100 80GB GPUs, each with 85.9 GB of memory.").single)
    assert printed.contradictions[0].likely_causes[0].cause == "GB for GiB"


def test_memory_summed_over_a_node_is_a_doubt_with_its_cause() -> None:
    """8 x 80 GB: the words may refer to the node, so it is not a contradiction."""
    found = check_document(read_paper("It ran on 8 H100 80GB GPUs, each with 640 GB of memory.").single)
    assert found.verdict == "not determined"
    assert found.doubts[0].likely_causes[0].cause == "memory summed"


def test_attention_share_of_a_public_model() -> None:
    """GPT-3 175B at 2048 tokens: 12 L H Q T / 6 N = 12 x 96 x 12288 x 2048 / (6 x 175e9) = 2.8 % (shape: arXiv:2005.14165)."""
    assert attention_share(175e9, 2048) == pytest.approx(12 * 96 * 12288 * 2048 / (6 * 175e9), rel=0.15)
    assert math.isclose(attention_share(175e9, 4096), 2 * attention_share(175e9, 2048))


def test_another_cards_peak_is_a_known_mistake() -> None:
    """529,882 tokens/s of 561M parameters on eight A100s are 73 % of 312 TFLOP/s and 23 % of an H100's 989. ``each`` begins a clause here:
    the GPUs are no rate per step."""
    text = "With 8 A100 SXM4 GPUs each step of 524,288 tokens takes 989 ms; 529,882 tokens per second; MFU 23.1 %; 561M parameters."
    read = read_paper(text).single
    assert next(claim.value for claim in read.claims if claim.quantity == "gpus") == 8
    first = check_document(read).contradictions[0].likely_causes[0]
    assert first.cause == "another card's peak"
    assert first.factor == pytest.approx(312 / 989.4, rel=0.02)


def test_a_small_model_counts_attention_beside_the_other_card() -> None:
    """378,000 tokens/s x 6 x 124 M / 989 TFLOP/s = 28 %; with full attention (16 %) 33 %; relative to an A100's 312 it is 104 %."""
    text = "We train GPT-2 124M on 8 H100 GPUs and reach 378,000 tokens/s per GPU, an MFU of 104%."
    first = check_document(read_paper(text).single).contradictions[0].likely_causes[0]
    assert first.cause == "another card's peak"
    assert 989.4 / 312 < first.factor < 1.17 * 989.4 / 312


def test_no_slip_of_three_orders_explains_states_that_do_not_fit() -> None:
    """16 x 70 G / 4 = 280 GB on a card of 80 GB: the model is not one of 70 M, which would take a third of a gigabyte."""
    text = "Full fine-tuning of a 70B model takes 300 GB of GPU memory on 4 H100 GPUs of 80 GB."
    charges = check_document(read_paper(text).single).contradictions
    assert "weights and optimiser per GPU" in charges[0].statement
    assert [one.cause for one in charges[0].likely_causes if one.cause.startswith("thousand")] == []
