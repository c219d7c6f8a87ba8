"""Runs distinguished by prose, figures in comparisons, and which misfits are contradictions; all texts and figures are invented."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.claim import Paper
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

DAY = 86_400.0


def figures(paper: Paper) -> dict[str, dict[str, float]]:
    return {
        run.name: {c.quantity: c.value for c in run.claims if not c.shared} for run in paper.runs if run.kind == "own"
    }


STAGES = (
    "It is trained in two phases. In the first we take 400k iterations with a batch size of 1024; in the second we take 100k iterations "
    "with a batch size of 512."
)
SIZES = (
    "The 15B parameter model was trained for 270K updates on 512 V100 GPUs for 60 days. The 3B model was trained for 500K updates in "
    "30 days, also on 512 GPUs."
)
NAMED = (
    "We trained Tern-7B on 200B tokens and Tern-34B on 50B tokens. The 7B is trained for 48,000 steps. "
    "The 34B is trained for 12,000 steps."
)
PARTS = "The image stage takes 90k iterations and 80 hours. The video stage takes 45k iterations and 120 hours."


@pytest.mark.parametrize(
    ("text", "quantity", "values"),
    [
        (STAGES, "steps", {4e5, 1e5}),
        (STAGES, "global_batch", {1024, 512}),
        (SIZES, "steps", {2.7e5, 5e5}),
        (SIZES, "wall_clock", {60 * DAY, 30 * DAY}),
        (NAMED, "steps", {48_000, 12_000}),
        (NAMED, "tokens", {200e9, 50e9}),
        (PARTS, "wall_clock", {80 * 3600.0, 120 * 3600.0}),
    ],
)
def test_runs_named_in_passing(text: str, quantity: str, values: set[float]) -> None:
    runs = figures(read_paper(text))
    assert {run[quantity] for run in runs.values() if quantity in run} == values, runs


@pytest.mark.parametrize("changed", [str.lower, str.upper])
def test_names_in_passing_in_any_case(changed: type[str]) -> None:
    found = figures(read_paper(changed(SIZES)))
    assert {run["wall_clock"] for run in found.values()} == {60 * DAY, 30 * DAY}


def test_a_comparison_takes_only_what_stands_behind_it() -> None:
    paper = read_paper(
        "Stage C of Heron needed 24,602 A100 GPU hours, compared to around 200,000 GPU hours for the old one."
    )
    assert paper.single.claim("gpu_hours").value == 24_602  # type: ignore[union-attr]
    assert [claim.value for claim in paper.set_aside if claim.quantity == "gpu_hours"] == [200_000]


def test_lists_of_all_runs_are_in_their_order() -> None:
    table = "| Model | GPU hours |\n|---|---|\n| Tern-7B | 9,000 |\n| Tern-13B | 21,000 |\n\nThe two models saw 4.05T and 5.6T tokens."
    found = figures(read_paper(table))
    assert (found["Tern-7B"]["tokens"], found["Tern-13B"]["tokens"]) == (4.05e12, 5.6e12)


OPEN = [
    # one card each, and the hours of all games and seeds
    "All agents are trained on one V100 GPU each. An agent takes 10 days per game; with 55 games and 5 seeds that makes 2,700 GPU days.",
    # one fold beside a whole benchmark
    "One fold takes about 12 hours on a single A100, hence the five folds occupy 60 GPU hours; the benchmark took 1,800 GPU hours.",
    # another's machine
    "Everything runs on a single node with 8 A100 GPUs. The original Tern-Base needed 4 days on 16 TPU chips.",
    # two stages of one machine
    "We train on 64 H800 GPUs. The image stage takes 80 hours, the video stage 120 hours. In total this is 12.8k H800 GPU hours.",
    # the hours of a card's template are those of the job
    "- **Hardware:** 4 x V100-32GB\n- **Hours used:** 62\n- **Carbon emitted:** 20.09 kg CO2eq (grid: 0.27 kg CO2eq/kWh)",
    # energy of the accelerators alone, as the table's own column of PUE says
    "| Model | Energy (MWh) | Carbon intensity (kg CO2e/kWh) | Carbon (tCO2eq) |\n|---|---|---|---|\n| Tern-7B | 131 | 0.332 | 52 |\n"
    "| Tern-13B | 257 | 0.332 | 101 |",
]


@pytest.mark.parametrize("text", OPEN)
@pytest.mark.parametrize("changed", [str, str.lower])
def test_what_may_be_something_else_is_no_charge(text: str, changed: type[str]) -> None:
    assert check_paper(read_paper(changed(text))).verdict != "contradicted"


def test_hours_used_are_read_as_what_agrees() -> None:
    assert {claim.claim.quantity for claim in check_paper(read_paper(OPEN[4])).claims} >= {"wall_clock", "carbon"}


CHARGED = [
    ("We trained Tern-7B on 256 A100 GPUs for 11.5 days, which is 276 GPU-hours.", "wall-clock for aggregate hours"),
    (
        "| Model | GPUs | Days | GPU-hours |\n|---|---|---|---|\n| Tern-7B | 256 | 10 | 61,440 |\n| Tern-34B | 512 | 20 | 480 |",
        "wall-clock for aggregate hours",
    ),
]


@pytest.mark.parametrize(("text", "cause"), CHARGED)
def test_a_named_mistake_is_charged_in_several_runs_too(text: str, cause: str) -> None:
    found = check_paper(read_paper(text))
    assert found.verdict == "contradicted"
    assert found.contradictions[0].likely_causes[0].cause == cause


def test_columns_with_bars_alone() -> None:
    text = "Model | Card | #Chips\nTern-7B | A100 | 512\nTern-13B | A100 | 1024\n"
    found = figures(read_paper(text))
    assert (found["Tern-7B"]["gpus"], found["Tern-13B"]["gpus"]) == (512, 1024)


def test_a_caption_gives_the_unit_of_times() -> None:
    text = "Table 2. Training time is in GPU-days.\n\n| Model | Training time |\n|---|---|\n| Tern-7B | 53 |\n| Tern-13B | 180 |"
    found = figures(read_paper(text))
    assert found["Tern-13B"]["gpu_hours"] == 180 * 24


def test_a_trainers_lines() -> None:
    text = (
        "[INFO|trainer.py:2131] >>   Instantaneous batch size per device = 4\n"
        "[INFO|trainer.py:2134] >>   Total train batch size (w. parallel & accumulation) = 128\n"
        "[INFO|trainer.py:2136] >>   Total optimization steps = 1,218\n\nIt ran on 8 A100 GPUs."
    )
    found = read_paper(text).single
    assert found.claim("global_batch").value == 128  # type: ignore[union-attr]
    assert check_paper(read_paper(text)).verdict != "contradicted"


BROKEN = """Table 5: Statistics of the Plover models. H100 80GB.
Model Params Tokens GPUs Days GPU-hours MFU (%)
Plover-1B 1.2B 1.0T 64 3.46 5,315 38.0
Plover-4B 4.0B 2.0T 256 5.22 32,072 42.0
Total - - - - 37,387 -
The sum leaves out the adapters.
"""


def test_a_table_that_lost_its_columns() -> None:
    found = figures(read_paper(BROKEN))
    assert (found["Plover-4B"]["gpus"], found["Plover-4B"]["mfu"], found["Plover-1B"]["tokens"]) == (256, 0.42, 1e12)
    assert "Total" not in found


IN_CAPTION = """Table 2. Parameters in billions, tokens in trillions, time in days, and compute in thousands of A100-hours.

Run | Cards | Params | Tokens | Time | Compute
--- | --- | --- | --- | --- | ---
Plover-S | 128 | 3.0 | 0.5 | 6.6 | 20.3
Plover-M | 512 | 7.1 | 1.2 | 8.9 | 109.4
"""


def test_units_that_the_caption_gives() -> None:
    found = figures(read_paper(IN_CAPTION))["Plover-M"]
    assert (found["parameters"], found["tokens"], found["gpu_hours"]) == pytest.approx((7.1e9, 1.2e12, 109_400))


ACTIVE = """| Variant | Act./Tot. | Nodes | Days |
|---|---|---|---|
| Tiny | 0.6B/3.0B | 8 | 2.1 |
| Base | 4.1B/27.5B | 32 | 3.0 |

Each node comprises 8 GPUs.
"""


def test_two_sizes_in_one_column() -> None:
    found = figures(read_paper(ACTIVE))["Base"]
    assert (found["active_parameters"], found["parameters"], found["nodes"]) == pytest.approx((4.1e9, 27.5e9, 32))


SUBHEADS = """| Stage | Data || Schedule || Hardware ||
|---|---|---|---|---|---|---|
| | speech (h) | video (h) | updates | batch | cards | days |
| pretrain | 60,000 | 5,500 | 600k | 16 | 64 V100 | 9 |
| tune | 433 | 433 | 60k | 8 | 8 V100 | 1.2 |
"""


def test_a_header_in_two_rows() -> None:
    found = figures(read_paper(SUBHEADS))["pretrain"]
    assert (found["steps"], found["gpus"], found["wall_clock"]) == (600_000, 64, 9 * 86_400)


COMPARED = """# Plover-8B

Plover-8B has 8B parameters; its second stage reads 46.2B tokens on 128 A100.

## Comparison with other open models

| Model | Size | GPU hours |
|---|---|---|
| Video-Gannet | 7B | 400 |
| LongKite | 7B | 1,344 |
| Plover-8B | 8B | 6,415 |
"""


def test_tokens_of_the_text_do_not_test_rows_of_others() -> None:
    paper = read_paper(COMPARED)
    assert check_paper(paper).verdict != "contradicted"
    assert not any(run.name in ("LongKite", "Video-Gannet") for run in paper.runs)


STAGES = r"""\section{Stages}

\emph{Pre-training:} images, 90k iterations, batch 256; 98 hours on 128 A100. \emph{Full training:} video,
150k iterations; 108 hours on 256 A100."""


def test_stages_that_a_paragraph_names() -> None:
    found = figures(read_paper(STAGES))
    assert sorted(run["steps"] for run in found.values()) == [90_000, 150_000]


COMPONENTS = "The tokenizer was trained in four days on 32 A100, the world model in 15 days on 64 A100."


def test_parts_of_a_system_are_runs() -> None:
    found = figures(read_paper(COMPONENTS))
    assert (found["tokenizer"]["gpus"], found["world model"]["gpus"]) == (32, 64)


# by hand: 6 x 1.2e9 x 2e12 / (128 x 5.5 days x 86,400 s x 989.4e12) = 24 %
TWO_SIZES = """| Model | Size | Tokens | H100 | Days | MFU |
|---|---|---|---|---|---|
| Wren-S | {} | 2T | 128 | 5.5 | 24% |
| Wren-L | 36B / 4.8B | 4T | 512 | 12 | 22% |
"""
# 7B and 8.4T take 4.4 times the hours of 512 A100 for 13 days; bytes would, but nobody speaks of them
ELSEWHERE = (
    "Tern has 7B parameters. It was trained on 512 A100 GPUs for 13 days at an MFU of 47%.{}\n\n"
    "Gannet has 1B parameters and was trained on 300B tokens with 64 A100 GPUs for 3 days.\n\nTern has seen 8.4T tokens."
)
UNNAMED = """## Continued pre-training

The network of 13B parameters read 250B tokens on 128 H100s. That took 99 hours or 12,672 GPU-hours.

## Instructions, then preferences

Two stages followed. The first finished in seven hours (224 GPU-hours). The second was shorter, three hours and 96 GPU-hours.
All stages together come to {} GPU-hours.

## Experiments

The upcycled network (38B parameters) was trained for 20B tokens and 2,900 GPU-hours.
"""


@pytest.mark.parametrize(
    ("text", "sound", "wrong"),
    [
        (TWO_SIZES, "8.4B / 1.2B", "8.4B"),
        (ELSEWHERE, "", " Its text was cut into bytes."),
        (UNNAMED, "12,992", "13,950"),
    ],
)
def test_figures_that_no_sentence_ties_to_a_run_accuse_nobody(text: str, sound: str, wrong: str) -> None:
    """A cell with two sizes, an amount of data that only another unit explains, a total over stages without a name."""
    assert check_paper(read_paper(text.format(sound))).verdict != "contradicted"
    assert check_paper(read_paper(text.format(wrong))).verdict == "contradicted"


# by hand: 6 x 3.1e9 x 1.5e12 = 2.79e22; 8 N D are 3.72e22
FOR_EACH = "We trained two models. Tern-5B has 5.4B parameters; Tern-1B has 0.9B. {} The former ran on 160 H100s, the latter on 64."
MODEL_FLOPS = "Tern has 3.1B parameters and saw 1.5T tokens on 96 H100s in 8.5 days. Training took {} model FLOPs."


@pytest.mark.parametrize("said", ["1.1T tokens were shown to each model.", "We showed 1.1T tokens to both."])
def test_what_is_shown_to_each_model_is_every_ones(said: str) -> None:
    runs = read_paper(FOR_EACH.format(said)).runs
    assert [run.claim("tokens").value for run in runs if run.kind == "own"] == [1.1e12, 1.1e12]  # type: ignore[union-attr]


def test_model_flops_are_flops() -> None:
    assert check_paper(read_paper(MODEL_FLOPS.format("2.79e22"))).verdict == "consistent"
    found = check_paper(read_paper(MODEL_FLOPS.format("3.72e22")))
    assert found.contradictions[0].likely_causes[0].cause == "8ND for 6ND"


@pytest.mark.parametrize(
    "said", ["We stopped recomputing activations.", "We store them instead of recomputing activations."]
)
def test_recomputation_that_was_given_up(said: str) -> None:
    assert read_paper(f"{said} It ran on 8 H100 GPUs.").single.fact("recompute") == "none"


@pytest.mark.parametrize(("tokens", "verdict"), [("300B", "consistent"), ("60B", "contradicted")])
def test_what_a_run_processes_counts_every_pass(tokens: str, verdict: str) -> None:
    text = (
        "We were left with a corpus of 60B tokens. The model reads it five times, in a new order each time, and so processes {} "
        "tokens during training. It has 1.4B parameters."
    )
    assert check_paper(read_paper(text.format(tokens))).verdict == verdict


TWO_MACHINES = (
    "We use two machines. On the older one we train the trunk, 3B parameters, on 2T tokens. This is 3.6e22 FLOPs, for which 128 A100 GPUs "
    "were allocated to us for 600 hours, i.e. 76,800 GPU-hours. On the newer one the same network is trained further on 40B tokens of law "
    "(7.2e20 FLOPs); this phase was finished after {} hours on 24 H100 GPUs, that is {} GPU-hours."
)


def test_figures_of_another_sentence_are_asked_about_together() -> None:
    """One job's hours with the other's FLOPs give 9 times the peak; the machine, hours and GPU-hours of one sentence belong together."""
    assert check_paper(read_paper(TWO_MACHINES.format("50", "1,200"))).verdict != "contradicted"
    assert check_paper(read_paper(TWO_MACHINES.format("50", "9,600"))).verdict == "contradicted"
