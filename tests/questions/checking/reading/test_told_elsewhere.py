"""Whose a figure is, and what a figure of a list, a share or another sentence counts; texts are ours."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper

DAY, HOUR = 86_400.0, 3600.0
Figures = list[tuple[str, float]]

KINDS: dict[str, list[tuple[str, Figures, Figures]]] = {
    "corpora in a list": [
        (
            "Plover-7B reads three corpora: Heath (610B tokens), Moor (240B tokens) and Fen (95B tokens). It read 1.2T tokens.",
            [("tokens", 1.2e12)],
            [("tokens", 6.1e11), ("tokens", 2.4e11)],
        ),
        (
            "Data: web with 800B tokens, books with 60B tokens, code with 140B tokens. It saw 1T tokens in 20 days on 128 H100.",
            [("tokens", 1e12)],
            [("tokens", 8e11), ("tokens", 6e10)],
        ),
        (
            "# Plover-7B\n\n- web: 1.2T tokens\n- code: 300B tokens\n- maths: 50B tokens\n\nTraining consumed 1.5T tokens on 256 H100.",
            [("tokens", 1.5e12)],
            [("tokens", 1.2e12), ("tokens", 3e11)],
        ),
        ("From a corpus of 4.1T tokens we drew 1.5T tokens for Plover-7B.", [("tokens", 1.5e12)], [("tokens", 4.1e12)]),
        (
            "The cleaned archive holds 41B tokens; Plover-1B went through it twice, so 82B tokens.",
            [("tokens", 8.2e10)],
            [("tokens", 4.1e10)],
        ),
    ],
    "shares": [
        (
            "Plover-7B used 40,000 GPU-hours. 40 % of the tokens are code, and three quarters of the hours went to the first stage.",
            [("gpu_hours", 40000)],
            [("mfu", 0.4)],
        ),
        (
            "Plover-7B reached an MFU of 41 %. A fifth of the 40,000 GPU-hours was spent on the last tenth of the tokens.",
            [("mfu", 0.41), ("gpu_hours", 40000)],
            [("mfu", 0.2), ("mfu", 0.1)],
        ),
        (
            "15 % of the 300 B tokens were maths. It ran on 64 H100 for 9 days.",
            [("tokens", 3e11), ("gpus", 64)],
            [("mfu", 0.15)],
        ),
        (
            "At 210 tokens per parameter Plover-7B is trained far past the optimum. It saw 1.47T tokens.",
            [("tokens", 1.47e12)],
            [("tokens", 210)],
        ),
        (
            "With 20 tokens to a parameter the 7B model needs 140B tokens.",
            [],
            [("seq_len", 20), ("global_batch_tokens", 20)],
        ),
    ],
    "checkpoints": [
        (
            "We saved 429 checkpoints, one every 2,000 steps (554 GB). Training took 858,000 steps.",
            [("steps", 858000)],
            [("steps", 2000), ("steps", 429), ("memory_per_gpu", 5.54e11)],
        ),
        (
            "Every 500 steps a checkpoint of 98 GB was written, 240 in all.",
            [],
            [("steps", 500), ("memory_per_gpu", 9.8e10)],
        ),
        (
            "There are 154 intermediate checkpoints at intervals of 1,000 iterations.",
            [],
            [("steps", 1000), ("steps", 154)],
        ),
        (
            "Checkpointing took 40 seconds per 250 steps. The run had 120k steps.",
            [("steps", 120000)],
            [("steps", 250), ("step_time", 40)],
        ),
        (
            "A snapshot (12 GB) is kept each hour; we have 300 of them. 64 A100 were used.",
            [("gpus", 64)],
            [("memory_per_gpu", 1.2e10), ("wall_clock", HOUR)],
        ),
    ],
    "mixture slash": [
        ("Plover-MoE (7.9B / 1.4B active) saw 2T tokens.", [("parameters", 7.9e9), ("active_parameters", 1.4e9)], []),
        (
            "Plover-MoE, 7.9B/1.4B, a mixture of experts, saw 2T tokens.",
            [("parameters", 7.9e9), ("active_parameters", 1.4e9)],
            [],
        ),
        ("Parameters (total / active): 46B / 8B", [("parameters", 4.6e10), ("active_parameters", 8e9)], []),
        ("46B total and 8B active parameters", [("parameters", 4.6e10), ("active_parameters", 8e9)], []),
        ("The MoE has 46B parameters (8B active).", [("parameters", 4.6e10), ("active_parameters", 8e9)], []),
    ],
    "a unit told before": [
        ("All costs are in GPU-hours. Plover-7B took 548,864. It ran on 1,024 H100.", [("gpu_hours", 548864)], []),
        ("We report H100-hours. Plover-7B needed 61,440 of them.", [("gpu_hours", 61440)], []),
        ("The unit below is the GPU-hour. Plover-7B: 184,320.", [("gpu_hours", 184320)], []),
        ("Numbers are GPU hours. Plover-7B consumed 92,160.", [("gpu_hours", 92160)], []),
        ("How many GPU-hours did it take? Plover-7B took 46,080.", [("gpu_hours", 46080)], []),
    ],
    "per device": [
        (
            "per_device_train_batch_size: 4\ngradient_accumulation_steps: 8\nnum_gpus: 64\nmax_steps: 20000",
            [("microbatch", 4), ("accumulation", 8), ("gpus", 64), ("steps", 20000)],
            [("global_batch", 4)],
        ),
        (
            "train:\n  micro_batch_size: 2\n  global_batch_size: 1024\n  seq_length: 4096\n  train_iters: 250000",
            [("microbatch", 2), ("global_batch", 1024), ("seq_len", 4096), ("steps", 250000)],
            [],
        ),
        (
            "batch_size_per_gpu: 16\nworld_size: 128\nepochs: 90",
            [("microbatch", 16), ("gpus", 128), ("epochs", 90)],
            [("global_batch", 16)],
        ),
        (
            "  device_batch_size: 8\n  nodes: 4\n  gpus_per_node: 8",
            [("microbatch", 8), ("nodes", 4), ("gpus_per_node", 8)],
            [("global_batch", 8)],
        ),
        (
            "bs_per_device = 32, grad_accum = 4, lr = 3e-4",
            [("microbatch", 32), ("accumulation", 4), ("learning_rate", 3e-4)],
            [("global_batch", 32)],
        ),
    ],
    "each, both, same": [
        (
            "Plover-1B and Plover-7B were trained on 300B tokens each, on 64 and 256 H100.",
            [("tokens", 3e11), ("gpus", 64), ("gpus", 256)],
            [("tokens", 6e11)],
        ),
        (
            "Plover-1B took 6 days on 32 A100 and Plover-7B 20 days on 128. Both saw 400B tokens with a context of 4,096.",
            [("gpus", 32), ("gpus", 128), ("wall_clock", 6 * DAY), ("wall_clock", 20 * DAY), ("tokens", 4e11)],
            [],
        ),
        (
            "Stage 1 took 5 days on 64 H100; stage 2 ran on the same cards for 2.",
            [("gpus", 64), ("wall_clock", 5 * DAY), ("wall_clock", 2 * DAY)],
            [],
        ),
        ("The two models were each given 8 days on 128 chips.", [("wall_clock", 8 * DAY), ("gpus", 128)], []),
        (
            "Each of the two runs used 64 cards for 9 days, 13,824 GPU-hours.",
            [("gpus", 64), ("wall_clock", 9 * DAY), ("gpu_hours", 13824)],
            [],
        ),
    ],
    "tex": [
        (
            r"\section{Training} It has $N = 12.1$B parameters and $D=1.4$T in $9$~days on $320$ H100 GPUs, $69{,}120$ GPU-hours.",
            [("parameters", 12.1e9), ("tokens", 1.4e12), ("wall_clock", 9 * DAY), ("gpus", 320), ("gpu_hours", 69120)],
            [],
        ),
        (
            r"\section{A} A $3.4$\,B model, $2.1\cdot10^{5}$ steps of $1{,}024$ sequences with $4{,}096$ tokens.",
            [("parameters", 3.4e9), ("steps", 2.1e5), ("global_batch", 1024), ("seq_len", 4096)],
            [],
        ),
        (
            r"\section{A} We spend $1.02\times10^{23}$~FLOPs in \num{69120} GPU-hours.",
            [("model_flops", 1.02e23), ("gpu_hours", 69120)],
            [],
        ),
        (
            r"\section{A} The learning rate peaks at $3\times10^{-4}$ after $2{,}000$ steps.",
            [("learning_rate", 3e-4), ("warmup_steps", 2000)],
            [],
        ),
        (
            r"\section{A} It took $1{,}234{,}567$ GPU-hours, \SI{41}{\percent} MFU.",
            [("gpu_hours", 1234567), ("mfu", 0.41)],
            [],
        ),
    ],
    "others and people": [
        (
            "Dr Moreau, 41, led the team of 19. Plover-2B has 2B parameters and took 12,000 GPU-hours.",
            [("parameters", 2e9), ("gpu_hours", 12000)],
            [],
        ),
        (
            "Plover-2B took 12,000 GPU-hours. Its rival Dipper-2B is said to have burnt 90,000 GPU-hours on 512 cards.",
            [("gpu_hours", 12000)],
            [("gpu_hours", 90000), ("gpus", 512)],
        ),
        (
            "Plover-2B (12,000 GPU-hours) scores 64.8 on MMLU, 3 points above Dipper-3B, which cost its makers 70,000 GPU-hours.",
            [("gpu_hours", 12000)],
            [("gpu_hours", 70000)],
        ),
        (
            "We started from an open 8B checkpoint, trained by somebody else on 15T tokens, and added 62B tokens on 48 H100.",
            [("tokens", 6.2e10), ("gpus", 48)],
            [("tokens", 1.5e13)],
        ),
        (
            "Serving Plover-2B takes two cards at 35 tokens per second. Training it took 40 cards for 18 days.",
            [("gpus", 40), ("wall_clock", 18 * DAY)],
            [("gpus", 2)],
        ),
    ],
    "two states": [
        (
            "Moving from 32 to 256 A100 cut training from 12 days to 2 days, while GPU-hours rose from 9,216 to 12,288.",
            [
                ("gpus", 32),
                ("gpus", 256),
                ("wall_clock", 12 * DAY),
                ("wall_clock", 2 * DAY),
                ("gpu_hours", 9216),
                ("gpu_hours", 12288),
            ],
            [],
        ),
        (
            "With the new loader a training fell from 96 hours to 60 on the same 64 cards, from 6,144 GPU-hours to 3,840.",
            [
                ("wall_clock", 96 * HOUR),
                ("wall_clock", 60 * HOUR),
                ("gpu_hours", 6144),
                ("gpu_hours", 3840),
                ("gpus", 64),
            ],
            [],
        ),
        (
            "From 8 to 64 H100, a step went from 4.0 s to 0.55 s, and 50,000 steps took 7.6 hours, once 55.6 hours.",
            [("gpus", 8), ("gpus", 64), ("step_time", 4), ("step_time", 0.55)],
            [],
        ),
        (
            "Going from 8 to 32 GPUs would have cut this to about 110 hours; it took 390 hours on the 8 GPUs.",
            [("wall_clock", 390 * HOUR), ("gpus", 8)],
            [("gpus", 32), ("wall_clock", 110 * HOUR)],
        ),
        (
            "The context grows from 4,096 to 32,768 in the last 20B tokens. It ran on 128 H100 for 11 days.",
            [("gpus", 128), ("wall_clock", 11 * DAY)],
            [],
        ),
    ],
}
"""Texts with what must be read of them, and what must not."""


def readings(text: str) -> Figures:
    return [(claim.quantity, claim.value) for run in read_paper(text).runs for claim in run.claims]


@pytest.mark.parametrize("kind", KINDS)
def test_figures_of_lists_shares_and_others(kind: str) -> None:
    wrong = {}
    for text, own, never in KINDS[kind]:
        found = readings(text)

        def read(one: tuple[str, float], found: Figures = found) -> bool:
            return any(one[0] == name and value == pytest.approx(one[1], rel=0.003) for name, value in found)

        missed, taken = [one for one in own if not read(one)], [one for one in never if read(one)]
        if missed or taken:
            wrong[text] = (missed, taken, found)
    assert not wrong
