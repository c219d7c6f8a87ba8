"""Any sufficient subset of a run's totals determines the rest; undetermined totals are reported, impossible ones refused."""

from __future__ import annotations

from itertools import combinations
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuhours.run.identities import HARD, IDENTITIES, Identity, Sum
from gpuhours.run.totals import KEYS, SOLVED, UNITS, WANTED, solve, undetermined
from tests.conftest import Command

# One run worked by hand: 7B x 6 FLOP a token, 2,048 tokens, 1,024 samples a step, 100,000 steps of 2.5 s on 128 GPUs.
RUN = {
    "global_batch": 1024.0,
    "steps": 1e5,
    "samples": 1.024e8,
    "dataset_samples": 5.12e7,
    "epochs": 2.0,
    "tokens_per_sample": 2048.0,
    "tokens": 1.024e8 * 2048,
    "flops_per_sample": 6 * 7e9 * 2048,
    "hardware_flops_per_sample": 8 * 7e9 * 2048,
    "model_flops_per_step": 6 * 7e9 * 2048 * 1024,
    "hardware_flops_per_step": 8 * 7e9 * 2048 * 1024,
    "model_flops": 6 * 7e9 * 2048 * 1.024e8,
    "gpus": 128.0,
    "peak": 989.4e12,
    "step_time": 2.5,
    "productive_time": 2.5e5,
    "goodput": 0.8,
    "wall_clock": 2.5e5 / 0.8,
    "gpu_hours": 128 * 2.5e5 / 0.8 / 3600,
    "mfu": 6 * 7e9 * 2048 * 1024 / (2.5 * 128 * 989.4e12),
    "hfu": 8 * 7e9 * 2048 * 1024 / (2.5 * 128 * 989.4e12),
    "tokens_per_second_per_gpu": 2048 * 1024 / (2.5 * 128),
}

FIXED = ("tokens_per_sample", "flops_per_sample", "hardware_flops_per_sample", "peak", "goodput", "dataset_samples")
"""What model, data set and accelerator fix."""

AMOUNT = ("tokens", "samples", "epochs")
STEPPED = ("global_batch", "steps")
SPEED = ("mfu", "step_time", "tokens_per_second_per_gpu", "hfu")
SPENT = ("gpus", "wall_clock", "gpu_hours")


def known(*names: str) -> dict[str, tuple[float, str]]:
    return {name: (RUN[name], "given") for name in names}


def test_an_identity_by_hand() -> None:
    """a b^2 / c = 2: a = 2 c / b^2, b = (2 c / a)^(1/2), c = a b^2 / 2."""
    square = Identity("a b^2 / c = 2", {"a": 1.0, "b": 2.0, "c": -1.0}, 2.0)
    assert square.solve("a", {"b": 3.0, "c": 4.0}) == pytest.approx(8 / 9)
    assert square.solve("b", {"a": 3.0, "c": 4.0}) == pytest.approx((8 / 3) ** 0.5)
    assert square.solve("c", {"a": 3.0, "b": 4.0}) == pytest.approx(24)
    assert square.mismatch({"a": 3.0, "b": 4.0, "c": 24.0}) == pytest.approx(1)
    assert square.mismatch({"a": 3.0, "b": 4.0, "c": 12.0}) == pytest.approx(2)
    inverse = Identity("a / b^2 = 2", {"a": 1.0, "b": -2.0}, 2.0)
    assert (inverse.solve("a", {"b": 3.0}), inverse.solve("b", {"a": 18.0})) == (pytest.approx(18), pytest.approx(3))
    assert inverse.mismatch({"a": 9.0, "b": 3.0}) == pytest.approx(0.5)
    given = square.given({"b": 3.0})
    assert (given.constant, dict(given.exponents)) == (pytest.approx(2 / 9), {"a": 1.0, "c": -1.0})


SUFFICIENT = [
    # amount of work x division into steps x speed x number of GPUs or duration
    *((amount, cut, speed, spent) for amount in AMOUNT for cut in STEPPED for speed in SPEED for spent in SPENT if (speed, spent) not in {
        ("mfu", "gpu_hours"), ("hfu", "gpu_hours"), ("tokens_per_second_per_gpu", "gpu_hours"), ("step_time", "wall_clock")}),
    # the amount follows from the time spent at a known speed
    *((cut, speed, *pair) for cut in STEPPED for speed in ("mfu", "hfu") for pair in combinations(SPENT, 2)),
    # the speed follows from the amount and the time spent
    *((amount, cut, *pair) for amount in AMOUNT for cut in STEPPED for pair in combinations(SPENT, 2)),
    # steps of a known length that fill the time
    *(("global_batch", "step_time", *pair) for pair in combinations(SPENT, 2)),
]  # fmt: skip


@pytest.mark.parametrize("names", SUFFICIENT, ids="+".join)
def test_a_sufficient_subset_determines_the_rest(names: tuple[str, ...]) -> None:
    totals = solve(known(*FIXED, *names))
    assert totals.values.keys() == RUN.keys()
    for name, solved in totals.values.items():
        assert solved.value == pytest.approx(RUN[name], rel=1e-9), name
        assert (solved.basis == "solved") == (name not in (*FIXED, *names))
    assert totals.conflicts == ()
    assert undetermined(totals) is None


@given(st.sets(st.sampled_from(sorted(RUN))))
def test_whatever_is_known_nothing_solved_is_wrong(names: set[str]) -> None:
    totals = solve(known(*names))
    assert names <= totals.values.keys()
    assert totals.conflicts == ()
    for name, solved in totals.values.items():
        assert solved.value == pytest.approx(RUN[name], rel=1e-9), name


@given(st.sets(st.sampled_from(sorted(RUN))), st.sampled_from(sorted(RUN)))
def test_knowing_more_never_determines_less(names: set[str], more: str) -> None:
    assert solve(known(*names)).values.keys() <= solve(known(*names, more)).values.keys()


STATED = sorted(KEYS.keys() - set(FIXED))
NAMES = sorted(RUN)
EXPONENTS = np.array([[identity.exponents.get(name, 0.0) for name in NAMES] for identity in SOLVED])


@given(st.sets(st.sampled_from(STATED), max_size=5))
def test_one_unknown_at_a_time_finds_all_that_can_be_found(names: set[str]) -> None:
    """The identities are linear in logarithms: a total is determined if removing its column lowers the rank."""
    found = solve(known(*names, *FIXED)).values.keys()
    unknown = [index for index, name in enumerate(NAMES) if name not in names and name not in FIXED]
    left = EXPONENTS[:, unknown]
    rank = np.linalg.matrix_rank(left)
    for column, index in enumerate(unknown):
        determined = np.linalg.matrix_rank(np.delete(left, column, axis=1)) < rank
        assert (NAMES[index] in found) == bool(determined), NAMES[index]


@given(st.sets(st.sampled_from(sorted(RUN))), st.permutations(SOLVED))
def test_the_order_of_the_identities_does_not_matter(names: set[str], shuffled: list[Identity]) -> None:
    assert solve(known(*names), shuffled).values.keys() == solve(known(*names)).values.keys()


@given(st.sampled_from(sorted(RUN)), st.floats(min_value=1.01, max_value=1e6))
def test_one_wrong_figure_is_found(name: str, factor: float) -> None:
    wrong = {**known(*RUN), name: (RUN[name] * factor, "given")}
    conflicts = solve(wrong).conflicts
    assert [conflict.identity for conflict in conflicts] == [one for one in SOLVED if name in one.exponents]
    for conflict in conflicts:
        assert conflict.factor == pytest.approx(factor ** conflict.identity.exponents[name], rel=1e-6)


def test_every_identity_holds_for_the_run_by_hand() -> None:
    for identity in SOLVED:
        assert prod(RUN[name] ** power for name, power in identity.exponents.items()) == pytest.approx(
            identity.constant
        ), identity.text
        assert set(identity.exponents) <= UNITS.keys()


def test_arrays_are_solved_as_their_elements() -> None:
    gpus = np.array([[64.0], [128.0]])
    mfu = np.array([0.2, 0.4, 0.5])
    many = solve({**known(*FIXED, "tokens", "global_batch"), "gpus": (gpus, "given"), "mfu": (mfu, "given")})
    assert np.shape(many.value("wall_clock")) == (2, 3)
    for row in range(2):
        for column in range(3):
            one = solve(
                {**known(*FIXED, "tokens", "global_batch"), "gpus": (gpus[row, 0], ""), "mfu": (mfu[column], "")}
            )
            assert many.value("wall_clock")[row, column] == pytest.approx(one.value("wall_clock"))


def test_a_total_comes_down_to_what_was_stated() -> None:
    totals = solve(known(*FIXED, "tokens", "global_batch", "mfu", "gpus"))
    assert set(totals.roots(["wall_clock"])) == {
        "tokens", "tokens_per_sample", "flops_per_sample", "mfu", "gpus", "peak", "goodput", "global_batch",
    }  # fmt: skip
    assert totals.roots(["mfu"]) == ("mfu",)


OPEN = [
    (("wall_clock", "gpu_hours"), "gpus", None),
    (("gpus", "wall_clock"), "gpu_hours", None),
    ((), "tokens", "data.tokens"),
    (("tokens", "mfu"), "gpus", "hardware.gpus"),
    (("gpus", "mfu", "tokens"), "steps", "training.global_batch"),
]


@pytest.mark.parametrize(("names", "total", "key"), OPEN)
def test_what_is_open_names_what_would_settle_it(names: tuple[str, ...], total: str, key: str | None) -> None:
    """``key`` is None if the total is already determined and so not among the open ones."""
    said = undetermined(solve(known(*FIXED, *names)))
    assert said is not None
    opened, _, settles = said.partition(";")
    assert (total in opened.replace(",", "").split()) == (key is not None)
    assert key is None or key in settles


def test_wanted_totals_have_units() -> None:
    assert set(WANTED) <= UNITS.keys()


# The same through the command: a user's inputs, and the results by hand.
MODEL = ("estimate", "--model", "llama-2-7b", "--seq-len", "4096", "--gpu", "h100-sxm-80gb", "--quiet")
CONTRADICTIONS = [
    # options, what the message names
    ("--tokens 500B --gpu-hours 1k", ["mfu", "of the dense peak", "known.gpu_hours", "data.tokens"]),
    ("--tokens 500B --gpus 64 --days 1 --mfu 20%", ["goodput", "wall-clock", "known.mfu", "known.days"]),
    ("--gpus 64 --days 10 --gpu-hours 50k", ["GPU-hours = GPUs x wall-clock", "factor of 3.26", "known.gpu_hours"]),
    ("--samples 1M --epochs 1 --tokens 500B", ["tokens = samples x tokens per sample", "data.tokens"]),
    ("--steps 1000 --batch 512 --tokens 500B", ["factor of 238", "data.steps"]),
    ("--tokens 1T --gpus 64 --mfu 95% --recompute full --batch 512", ["hfu", "including recomputation"]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "said"), CONTRADICTIONS)
def test_a_contradiction_explains_itself(gpuhours_command: Command, options: str, said: list[str]) -> None:
    ran = gpuhours_command(*MODEL, *options.split())
    assert (ran.code, ran.out) == (1, "")
    for words in said:
        assert words in ran.err


APART = {
    0.01: {
        "tokens = steps x tokens per batch", "tokens per sample = sequence length", "tokens per batch = tokens/s x step time",
        "tokens/s = GPUs x tokens/s per GPU", "tokens/s = nodes x tokens/s per node", "tokens = tokens/s x productive time",
        "steps per second = 1 / step time", "batch = samples/s x step time", "samples = samples/s x productive time",
        "memory as stated = memory of the accelerator", "energy = IT energy x PUE",
    },
    0.02: {
        "tokens = data-set tokens x epochs", "visual tokens = samples x frames x tokens per frame", "tokens = visual + text",
        "clips = hours x frame rate / frames per clip", "GPU-hours = GPUs x wall-clock",
        "tokens = tokens/s per GPU x productive GPU-hours", "node-hours = nodes x hours", "energy = GPU-hours x power x PUE",
        "power = GPUs x power per GPU x PUE", "carbon = energy x intensity", "cost = GPU-hours x price",
    },
    0.03: {
        "parameters = language model + vision encoder", "peak as stated = dense peak of the accelerator",
        "model FLOPs = FLOPs per parameter and token x parameters x tokens", "wall-clock = epochs x time per epoch",
    },
    0.05: {
        "samples = epochs x samples of the data set", "state per GPU = 16 bytes x parameters",
        "state per GPU is at least 16 bytes x parameters / GPUs",
    },
    0.12: {"model FLOPs = FLOPs per parameter and token x parameters x tokens"},
}  # fmt: skip
"""How far apart the two sides of printed figures may be, as a share: counters and clocks of one run 1 %, means over it and bills 2 %,
sizes and peaks as they are named 3 %, what leaves out buffers or the last samples 5 %, clips of unlike length 12 %."""


def test_how_far_apart_the_two_sides_may_be() -> None:
    found: dict[float, set[str]] = {}
    for identity in IDENTITIES:
        if identity.sigma != HARD:
            found.setdefault(identity.sigma, set()).add(identity.text)
    assert found == APART


KILOWATT_HOURS = RUN["gpu_hours"] * 0.6 * 1.1
"""128 GPUs that draw 600 W each, in a hall with a PUE of 1.1."""
PRINTED = RUN | {
    "parameters": 7e9, "language_parameters": 6.7e9, "vision_parameters": 0.3e9, "trainable_parameters": 0.7e9, "trainable_share": 0.1,
    "active_parameters": 7e9, "active_share": 1.0, "flops_per_parameter": 6.0, "seq_len": 2048.0, "global_batch_tokens": 2048.0 * 1024,
    "dataset_tokens": 5.12e7 * 2048, "frames_per_clip": 8.0, "tokens_per_frame": 192.0, "visual_tokens": 1.024e8 * 1536,
    "text_tokens": 1.024e8 * 512, "frame_rate": 2.0, "clip_seconds": 4.0, "video_hours": 5.12e7 * 4 / 3600, "recompute_ratio": 8 / 6,
    "flops_per_second_per_gpu": RUN["mfu"] * 989.4e12, "flops_per_second": 128 * RUN["mfu"] * 989.4e12, "peak_flops": 989.4e12,
    "tokens_per_second": 2048 * 1024 / 2.5, "tokens_per_second_per_node": 2048 * 1024 / 2.5 / 16, "steps_per_second": 0.4,
    "epoch_time": 2.5e5 / 0.8 / 2, "samples_per_second": 1024 / 2.5, "checkpoint_steps": 1000.0, "checkpoint_time": 2500.0,
    "nodes": 16.0, "gpus_per_node": 8.0, "node_hours": RUN["gpu_hours"] / 8, "tensor": 1.0, "pipeline": 1.0, "context": 1.0,
    "data_parallel": 128.0, "microbatch": 4.0, "accumulation": 2.0, "memory_per_gpu": 80e9, "memory_as_sold": 80e9,
    "gpu_power": 600.0, "pue": 1.1, "it_energy": 1000 * KILOWATT_HOURS / 1.1, "energy": 1000 * KILOWATT_HOURS,
    "power": 128 * 600 * 1.1, "flops_per_energy": RUN["model_flops"] / (KILOWATT_HOURS * 3.6e6) / 1e9, "carbon_intensity": 0.4,
    "carbon": KILOWATT_HOURS * 0.4 / 1000, "carbon_rate": 0.6 * 1.1 * 0.4, "price": 2.0, "node_price": 16.0,
    "cost": 2 * RUN["gpu_hours"],
}  # fmt: skip
"""The same run as a text could print it: a data set of clips of 8 frames at 2 per second, 192 tokens each, beside 512 of text."""
STATE = {"replicated": 7e9 * (2 + 2 + 4 + 4 + 4), "sharded": 7e9 * (2 + 2 + 4 + 4 + 4) / 128}
"""Weight and gradient of 2 bytes, master weight and two moments of 4, on every GPU or once over all."""


@pytest.mark.parametrize("identity", IDENTITIES, ids=lambda identity: identity.text)
def test_every_identity_holds_for_what_a_text_prints_of_the_run(identity: Identity | Sum) -> None:
    held = next((state for where, state in STATE.items() if where in identity.only), 0.0)
    printed = PRINTED | {"state_per_gpu": held}
    if isinstance(identity, Sum):
        assert sum(printed[part] for part in identity.parts) == pytest.approx(printed[identity.whole])
        return
    assert identity.mismatch(printed) == pytest.approx(1)
    for name in identity.exponents:
        assert identity.solve(name, {key: value for key, value in printed.items() if key != name}) == pytest.approx(
            printed[name]
        )


def test_figures_that_are_only_rounded_are_as_far_apart_as_rounding_takes_them() -> None:
    """Three digits are rounded by up to half a unit in the last: s.d. 0.01 / sqrt(12) of 1.00, a tenth of that of 9.99."""
    assert 0.001 / 12**0.5 < HARD < 0.01 / 12**0.5
    plain = Identity("a = b", {"a": 1.0, "b": -1.0}, 1.0)
    assert plain.sigma == HARD
    assert plain.mismatch({"a": 3.0, "b": 3.0}) == 1
