"""Figures that a fair reader gives to the run, and figures beside it that would make a sound text look wrong; all in our own words."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

HOUR, DAY = 3600.0, 86_400.0


def figures(text: str) -> dict[str, dict[str, float]]:
    return {run.name: {claim.quantity: claim.value for claim in run.claims} for run in read_paper(text).runs}


def one(text: str) -> dict[str, float]:
    (found,) = figures(text).values()
    return found


GIVEN = [
    ("Plan: TP4 PP2 DP64 on 512 H100 GPUs.", "data_parallel", 64),
    ("Training time 2 days, 18:21:44 on 16 A40 GPUs.", "wall_clock", 2 * DAY + 18 * HOUR + 21 * 60 + 44),
    ("We trained it on 64 second-generation TPUs for 9 hours.", "gpus", 64),
    ("It was shared by tensor and pipeline parallelism rank 4.", "pipeline", 4),
    ("The total number of GPU hours that it took (41,472) is moderate.", "gpu_hours", 41_472),
    (
        "We train Plover-3B on 90B tokens. The experiments are conducted on 64 A800 GPUs and cost 228 hours.",
        "wall_clock",
        228 * HOUR,
    ),
    ("Last week Plover-14B was done: 14B parameters, 5T tokens, 512 B200 GPUs, 12 days.", "gpus", 512),
    ("The PUE of the Delft data centre (1.25) was counted.", "pue", 1.25),
    ("[init] n=64 (NVIDIA A100-SXM4-80GB) tp=2 dp=32\n[init] global_batch=1024 micro_batch=16", "global_batch", 1024),
    ("We trained on 64 A100 GPUs. All timings are of the A100 40GB.", "memory_per_gpu", 40e9),
    ("Starting point: our 8B base, on 8 H100 GPUs.", "parameters", 8e9),
    ("Namespace(model='plover', epochs=300, input_size=224)", "resolution", 224),
    ("AllocTRES: node=24,gres/gpu:h100=192", "gpus", 192),
    ("srun --gres=gpu:h100:8 with 24 nodes", "gpus_per_node", 8),
    ("32 nodes with 8 A100 80GB GPUs each (256 in use) did it.", "gpus", 256),
    ("LR: 3e-4 cosine to 3e-5", "final_learning_rate", 3e-5),
    ("lr=6e-4 warmup=2000 clip=0.8", "warmup_steps", 2000),
    ("lr=6e-4 warmup=2000 clip=1.0", "gradient_clipping", 1.0),
    ("| Item | Value |\n|---|---|\n| Hourly rate | $1.80 |\n| GPU hours | 39,360 |", "price", 1.8),
    ("We employed 4 nodes, each of them equipped with 4 custom NVIDIA A100 of 64 GB.", "gpus_per_node", 4),
    ("---\nco2_eq_emissions:\n  emissions: 2085942\n---\n", "carbon", 2.085942),
    ("| Setting | Value |\n|---|---|\n| Layers / hidden / heads | 24 / 2048 / 16 |\n| Tokens | 2T |", "heads", 16),
    ("| Setting | Value |\n|---|---|\n| Peak LR / min LR | 3e-4 / 3e-5 |\n| Tokens | 2T |", "learning_rate", 3e-4),
]


@pytest.mark.parametrize(("text", "quantity", "value"), GIVEN)
def test_given_to_the_run(text: str, quantity: str, value: float) -> None:
    assert one(text)[quantity] == pytest.approx(value)


BESIDE = [
    ("Training takes 2 days on 8 A6000 GPUs at two stations that cost $32,000 each.", "cost"),
    ("A year ago the same model would have taken a month on 512 H100 GPUs.", "wall_clock"),
    ("We used 5,000 TPUs to generate games.", "gpus"),
    ("After the spike we rolled back 300 steps.", "steps"),
    ("Sections treat architecture (2), data (3) and cost (4) of it.", "data_parallel"),
    ("On 16 A100 GPUs. For the sake of comparison, the Tern model required 1 day on 512 V100 GPUs.", "wall_clock"),
    ("It was best at 81.9 (epoch 291) on 8 A40 GPUs.", "epochs"),
    ("We train five folds, each one for 1,000 steps.", "epochs"),
    ("It has a `min_lr`: 5e-5, as others do.", "wall_clock"),
]


@pytest.mark.parametrize(("text", "quantity"), BESIDE)
def test_beside_the_run(text: str, quantity: str) -> None:
    assert quantity not in one(text)


def test_the_model_that_both_go_on_from_is_not_theirs() -> None:
    found = figures(
        "# Plover suite\n\nBoth models continue Tern-2 on 48B tokens.\n\n"
        "- **Plover-7B**: 16 A100 GPUs, 271 hours\n- **Plover-70B**: 128 A100 GPUs, 346 hours\n"
    )
    assert {run["tokens"] for run in found.values()} == {48e9}
    assert {name: run["gpus"] for name, run in found.items()} == {"Plover-7B": 16, "Plover-70B": 128}


def test_our_own_source_of_data_names_no_model() -> None:
    found = figures(
        "| Source | Unique tokens | Passes |\n|---|---|---|\n| Web (ours) | 61B | 4 |\n| Annealing mix | 100B | 1 |\n\n"
        "| | Main | Annealing |\n|---|---|---|\n| Steps | 333,786 | 23,842 |\n| GPU hours | 76,224 | 5,645 |\n"
    )
    assert found["Annealing"]["gpu_hours"] == 5645


def test_samples_under_the_header_data() -> None:
    found = figures(
        "| Stage | Data | Steps | GPUs | Hours |\n|---|---|---|---|---|\n"
        "| low | 10M clips | 80k | 128 | 96 |\n| high | 2M clips | 25k | 64 | 60 |"
    )
    assert found["low"]["samples"] == 10e6


def test_a_sound_text_under_its_models_name_is_not_contradicted() -> None:
    text = (
        "Last month Plover-14B was finished: 14.4B parameters, 5T tokens, 512 NVIDIA B200 GPUs, 12.1 days. "
        "Its MFU of 35.9% is of 2,250 dense TFLOPS; a GPU did 9.3k tokens/s. Two years ago it would have needed 30 days on H100s."
    )
    assert check_paper(read_paper(text)).verdict == "consistent"
