"""Calculations that a text writes out: sound and wrong ones, with traps of rounding, scale and unit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import pytest

from gpuhours.questions.checking.claim import Claim, Spread
from gpuhours.questions.checking.reading.figures.tokens import Item
from gpuhours.questions.checking.reading.formats.blocks import Passage, prose_of
from gpuhours.questions.checking.reading.runs.nodes import devices_of_a_node, of_the_only_machine
from gpuhours.questions.checking.reading.sentences import prose
from gpuhours.questions.checking.reading.text import read_paper

SOUND = """
Each step processes 1,024 x 4,096 = 4M tokens
A batch is 512 x 2048 = 1M tokens.
An image has 1,024 x 1,024 = 1M pixels.
The context of 32 x 128 = 4k tokens is filled.
Data: 1.2 + 0.8 = 2T tokens.
Encoder and decoder have 0.4 + 6.6 = 7B parameters.
The parts are 0.9 + 0.3 + 0.2 = 1.4T tokens.
0.4 + 6.6 = 7B
The crawl shrank to 40% x 5T = 2T tokens.
The run used 128 GPUs x 10 days = 30,720 GPU-hours.
Memory: 8 x 80 GiB = 640 GiB in a host.
Memory: 8 x 80 GB = 0.64 TB.
The batch is 4 x 8 x 64 = 2,048 sequences.
The batch: 4 per device x 8 accumulation steps x 64 GPUs = 2,048.
We need 1,000 ÷ 24 = 42 days, rounded up.
We need 1000 / 24 = 42 nodes.
It takes 10 - 12 days x 24 = 240 - 288 hours.
The run takes 64 x 24 ≈ 1,500 GPU-hours.
In total 31 x 24 = ~750 hours.
So 2 x 3 x 4 = 6 x 4 = 24 runs.
Each step sees 2k x 2k = 4M tokens.
Each step sees 1k x 4k = 4M tokens.
Every update reads 2M + 500k = 2.5M tokens.
The run from 3 May + 10 days = 13 May was short.
Parallelism is 2 x 4 = 8-way.
Chips form an 8 x 8 grid = 64 chips.
Chips form an 8 x 8 = 64-chip grid.
We train 16 x 4096 = 65k tokens a step.
We train 16 x 4096 = 64k tokens a step.
A global batch of 256 x 8192 = 2M tokens.
A batch of 960 x 2048 = 1.97M tokens.
The corpus is 300B x 4 epochs = 1.2T tokens.
Compute: 6 x 7e9 x 2e12 = 8.4e22 FLOPs.
Compute: 6 x 7B x 2T = 8.4e22 FLOP.
Cost: 10,000 GPU-hours x $2.50 = $25k.
Cost: $1.2M + $0.3M = $1.5M.
Cost: 1.2 + 0.3 = $1.5M.
Two stages: 90 + 30 = 120k steps.
Power: 256 x 700 W = 179 kW.
Energy: 179 kW x 100 h = 18 MWh.
The vocabulary has 32,000 + 256 = 32k entries.
Hidden size: 32 x 128 = 4,096 = 4k.
Warm-up and decay: 2,000 + 98,000 = 100k steps.
Half of the time: 50% x 30 days = 15 days.
Sixteen nodes: 16 x 8 = 128 GPUs.
Tokens: 4.5M x 250k = 1.1T tokens.
Tokens: 4M x 250k = 1T tokens.
Tokens: 4M x 500k = 2.1T tokens.
Embeddings: 128,000 x 4,096 = 0.5B parameters.
Embeddings: 50,257 x 768 = 39M parameters.
Video of 16 x 256 x 256 = 1M pixels.
Checkpoints: 7B x 16 bytes = 112 GB.
Checkpoints: 7B x 16 bytes = 104 GiB.
Storage: 512 GiB + 512 GiB = 1 TiB.
Python 3.10 + CUDA 12.1 = a working setup.
Speed: 400 TFLOP/s x 512 = 205 PFLOP/s.
Throughput: 3,500 x 512 = 1.8M tokens/s.
Epochs: 1.5 x 2 = 3 passes.
About 20 x 50 = 1,000 or so trials.
Loss 1.2 + 0.8 = 2 nats.
English 1.5T + code 500B = 2T tokens.
English 1.5T + 0.5T = 2T tokens.
Phases: 1.8T + 0.2 = 2T tokens.
The three corpora hold 0.45 + 0.35 + 0.2 = 1T words.
Adapters: 2 x 16 x 4096 x 32 = 4.2M weights.
8 seeds x 3 tasks = 24 runs.
A step is 2^10 x 2^12 = 4M tokens.
1 x 8 = 8 and 2 x 8 = 16 were both tried.
Precision: 16 x 2 = 32-bit words.
Parameters: 0.4 + 6.6 = 7B
The two legs: 2 days + 12 hours = 60 hours.
Compute: 6 x 7e9 x 2e12 = 8e22 FLOPs.
""".strip().splitlines()
"""Right to the digits that they print: 1,024 x 4,096 = 4 x 2^20; 7e9 x 16 / 2^30 = 104.3; 4 x 2^20 x 500e3 = 2.1e12."""
WRONG = """
Each step processes 1,024 x 4,096 = 6M tokens
A batch is 512 x 2048 = 2M tokens.
Data: 1.2 + 0.8 = 3T tokens.
Encoder and decoder have 0.4 + 6.6 = 8B parameters.
The parts are 0.9 + 0.3 + 0.2 = 1.9T tokens.
The batch is 4 x 8 x 64 = 1,024 sequences.
We spent $1.2M + $0.3M = $2.5M.
Every update reads 2M + 500k = 3.5M tokens.
Sixteen nodes: 16 x 8 = 256 GPUs.
14 settings x 3 seeds = 52 runs.
Tokens: 4M x 500k = 3.1T tokens.
Compute: 6 x 7e9 x 2e12 = 8.4e23 FLOPs.
The run takes 64 x 24 ≈ 1,900 GPU-hours.
Memory: 8 x 80 GiB = 720 GiB in a host.
Embeddings: 50,257 x 768 = 49M parameters.
Warm-up and decay: 2,000 + 98,000 = 120k steps.
The corpus is 300B x 4 epochs = 1.5T tokens.
A global batch of 256 x 8192 = 4M tokens.
Cost: 10,000 GPU-hours x $2.50 = $35k.
Two stages: 90 + 30 = 150k steps.
We need 1,000 ÷ 25 = 60 days.
Power: 256 x 700 W = 279 kW.
An image has 1,024 x 1,024 = 3M pixels.
So 96 GPUs x 11 days x 24 h makes 35,344 GPU-hours.
The two phases took 12,500 + 3,250 = 17,750 GPU-hours.
The parts are 900B + 300B + 200B = 1.6T tokens.
Parameters: 0.4 + 6.6 = 9B
The two legs took 2 days + 12 hours = 14 hours.
Compute: 6 x 7e9 x 2e12 = 6e22 FLOPs.
""".strip().splitlines()
"""Each is off by more than the digits that it prints allow."""


@pytest.mark.parametrize("text", SOUND)
def test_sound_calculations_are_not_accused(text: str) -> None:
    assert read_paper(text).miscalculated == ()


@pytest.mark.parametrize("text", WRONG)
def test_wrong_calculations_are_called_in_their_own_words(text: str) -> None:
    (wrong,) = read_paper(text).miscalculated
    assert wrong.text in text


@pytest.mark.parametrize(
    ("text", "right", "factor"),
    [
        ("Data: 1.2 + 0.8 = 3T tokens.", "2e+12", 3 / 2),
        ("512 x 2048 = 2M tokens", "1.049e+06", 2e6 / (512 * 2048)),
    ],
)
def test_how_far_a_result_is_off(text: str, right: str, factor: float) -> None:
    """2 / 1.049 = 1.91, the nearest of the results that the terms may give."""
    (wrong,) = read_paper(text).miscalculated
    assert (wrong.right, wrong.factor) == (right, pytest.approx(factor))


class Counting(list[Item]):
    """Items that count how many of them are read in slices."""

    read = 0

    def __getitem__(self, key):  # type: ignore[no-untyped-def]
        found = super().__getitem__(key)
        self.read += len(found) if isinstance(key, slice) else 1
        return found


def test_many_calculations_are_read_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as many, which no stop separates, need four times as many items, not sixteen."""

    def read(number: int) -> int:
        counted: list[Counting] = []
        monkeypatch.setattr(prose, "with_subject_units", lambda items, _: counted.append(Counting(items)) or counted[0])
        text = " ".join(f"12 x {i} x 24 = {12 * i * 24}" for i in range(number))
        prose.read_prose(prose_of([Passage("text", "Trained 3M of parameters. " + text, 1)]), "")
        return counted[0].read

    assert read(800) < 5 * read(200)


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of three."""

    def once() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return min(once() for _ in range(3))


def claim(quantity: str, value: float) -> Claim:
    return Claim(quantity, value, Spread(value, 0.0, "exact"))


def test_many_nodes_and_gpus_are_compared_in_nearly_linear_time() -> None:
    """Four times as many values may take four times as long and a little more; pairs of them would take sixteen times.

    No product fits, so that none ends the search early.
    """

    def stated(number: int) -> list[Claim]:
        of = {"nodes": 0.0, "gpus": 1 / math.pi, "node_hours": 0.0, "gpu_hours": 1e9}
        return [claim(name, i + beyond) for i in range(2, number) for name, beyond in of.items()]

    few, many = stated(250), stated(1000)
    assert seconds(lambda: devices_of_a_node(many)) < 8 * seconds(lambda: devices_of_a_node(few))


def test_the_only_machine_is_found_among_many_in_linear_time() -> None:
    """24 nodes x 8 = 192 GPUs, and 192 x 10 h = 1,920 GPU-hours."""
    run = prose.read_prose(prose_of([Passage("text", "Training took 10 hours, 1,920 GPU-hours.", 1)]), "").placed
    text = "The site has 24 nodes with 8 GPUs per node. It has 192 GPUs. " + " ".join(
        f"It had {i} nodes." for i in range(200, 500)
    )
    machine = prose.read_prose(prose_of([Passage("text", text, 1)]), "").placed
    found = of_the_only_machine(machine, [run])
    assert [entry.figure.value for entry in machine if id(entry) in found] == [24, 8, 192]
    many = machine * 16
    assert seconds(lambda: of_the_only_machine(many, [run])) < 8 * seconds(
        lambda: of_the_only_machine(machine * 4, [run])
    )
