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
    assert found["low"]["dataset_samples"] == 10e6


def test_a_sound_text_under_its_models_name_is_not_contradicted() -> None:
    text = (
        "Last month Plover-14B was finished: 14.4B parameters, 5T tokens, 512 NVIDIA B200 GPUs, 12.1 days. "
        "Its MFU of 35.9% is of 2,250 dense TFLOPS; a GPU did 9.3k tokens/s. Two years ago it would have needed 30 days on H100s."
    )
    assert check_paper(read_paper(text)).verdict == "consistent"


LOG = """
# Plover-7b-sft

A fine-tuned version of Plover-7b on a private set of 90,000 dialogues, on 8 A100 GPUs.

| Training Loss | Epoch | Step | Validation Loss |
|---|---|---|---|
| 0.94 | 1.0 | 700 | 0.95 |
| 0.81 | 2.0 | 1400 | 0.93 |
"""


def test_the_last_row_of_a_log_is_the_run() -> None:
    found = one(LOG)
    assert (found["steps"], found["epochs"], found["dataset_samples"]) == (1400, 2, 90_000)


SECTIONS = """
# Plover

Plover-7B has 7B parameters and read 2T tokens on 512 A100 80GB GPUs in 15.5 days at an MFU of 41%.

## Finetuning

LoRA of Plover-7B, batch size 1, gradient accumulation 8, on one A100:

| Method | Length 256 | Length 1024 |
|---|---|---|
| LoRA | 20.1G / 1.2s/it | 21.5G / 2.8s/it |

## Inference

Plover-7B answers at 40 tokens per second on one A100.
"""


def test_sections_beside_the_run_say_nothing_about_it() -> None:
    paper = read_paper(SECTIONS)
    (found,) = figures(SECTIONS).values()
    assert found["gpus"] == 512
    assert not found.keys() & {"accumulation", "global_batch", "step_time"}
    assert check_paper(paper).verdict == "consistent"
    assert not any(fact.name == "trainable" for fact in paper.runs[0].facts)


OTHERS = """
Prior efforts were costly. Tern-65B took 33 days on 1,024 A100s; even the 7B model of another group took 45 days. In contrast,
Plover-7B is trained with 256 GPUs in eight days.

## Related work

Gannet trains 1.1B parameters on 3T tokens within 90 days on 16 A100-40G. Siskin-2.4B is trained on 1.1T tokens.
"""


def test_paragraphs_and_sections_about_others_give_the_run_nothing() -> None:
    found = one(OTHERS)
    assert (found["gpus"], found["wall_clock"]) == (256, 8 * DAY)
    assert "tokens" not in found


def test_a_rate_for_a_trillion_and_a_forecast_are_no_time_of_the_run() -> None:
    found = one(
        "Training on each trillion tokens takes 4.5 days on our 512 H800 GPUs. The 6-hour forecast is best. Plover was done in a month."
    )
    assert found["wall_clock"] == pytest.approx(30.4375 * DAY)


def test_a_batch_that_may_be_a_devices_is_no_charge() -> None:
    text = "Plover has 350M parameters. Batch size 16, accumulation 40, length 1024: 655,360 tokens per iteration on 8 A100."
    assert check_paper(read_paper(text)).verdict != "contradicted"


SHARED_MACHINE = """
Plover-47B has 47B parameters; it consumed 3.6T tokens.

| Team | Job | GPUs | GPU hours |
|---|---|---|---|
| Language (we) | Plover-47B | 2,048 | 672k |
| Climate | forecast | 4,096 | 1.9M |
| Idle | - | - | 30k |

The successor has 120B parameters and 10T tokens.
"""


@pytest.mark.parametrize(
    "text",
    [
        SHARED_MACHINE,
        "Plover-13B (12.9B, 8T tokens) was trained with FP8 on 1,024 H100 within 16.3 days. Utilisation is relative to the dense FP8 "
        "peak of 1,979 TFLOP/s, i.e. 21.7%; relative to the bf16 peak it would be twice as much.",
        "Compute: 32 x p4d.24xlarge. Model: 6.7B parameters; data: 500B tokens. A p4d.24xlarge has eight A100 40GB.",
    ],
)
def test_no_charge_where_figures_are_of_other_things(text: str) -> None:
    assert check_paper(read_paper(text)).verdict != "contradicted"


def test_the_size_in_brackets_behind_a_name_is_the_models() -> None:
    assert one("Plover-13B (12.9B, 8T tokens) was trained on 64 H100.")["parameters"] == pytest.approx(12.9e9)
    assert one("Plover-13B (12.9B, 8T tokens) was trained on 64 H100.")["tokens"] == pytest.approx(8e12)


def test_what_is_denied_or_asked_for_is_not_the_run() -> None:
    found = one(
        "Plover-4B was not trained on 1,024 GPUs and has not seen 18T tokens. It saw 1.8T tokens on 256 H800 in 4.7 days."
    )
    assert (found["gpus"], found["tokens"]) == (256, 1.8e12)
