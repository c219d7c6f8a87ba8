"""The scope of a name, a heading, a bracket or a row, and what a text leaves open; all texts are our own."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.precision import rounding
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.read_texts import figures, one

HOUR, DAY = 3600.0, 86_400.0


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


PICTURES = ["384x384", "384 x 384", "384×384", "96x96x96", "16x384x384", "`384x384`", "384^2"]


@pytest.mark.parametrize("sides", PICTURES)
@pytest.mark.parametrize(
    "things", ["images", "pictures", "crops", "clips", "inputs", "frames", "tiles", "tokens", "GPUs", "steps"]
)
def test_any_picture_ends_in_a_verdict(sides: str, things: str) -> None:
    text = f"The tuned Plover went on for 90k steps, and for another 60k steps on {sides} {things}; about 32 A100 GPUs."
    assert check_paper(read_paper(text)).verdict in ("consistent", "not determined", "contradicted")


ODD = [
    "We compare Plover-7B (2T tokens, 64 A100) and Plover-0B (1T tokens, 32 A100); the 0B run took 3 days.",
    "| Model | Tokens | GPUs |\n|---|---|---|\n| Plover-7B | 2T | 64 |\n| Plover-3B | 1T | 32 |\n\nThe 0B model took 3 days.",
    "Plover was trained with 3 × 10^999 FLOP on 64 A100 GPUs.",
    "Plover was trained with 2 · 10⁹⁹⁹ tokens on 64 A100 GPUs.",
    "In inference each A100 GPU draws 400 W. Plover was trained on 64 A100 GPUs.",
    "Plover was fine-tuned on 0 tokens, 1024 contexts of 2048 tokens, 64 A100 GPUs at 400 W each.",
]


@pytest.mark.parametrize("text", ODD)
def test_odd_figures_end_in_a_verdict(text: str) -> None:
    assert check_paper(read_paper(text)).verdict in ("consistent", "not determined", "contradicted")


def test_several_numbers_in_one_say_nothing_of_their_rounding() -> None:
    assert rounding("384x384", 384.0) == rounding("2", 2.0, largest=0.05) == 0.05


def test_a_run_s_own_price_stays() -> None:
    assert one("A full training run costs $41,000 on 64 H100 GPUs.")["cost"] == 41_000


STAGES = """
# Plover-VL-6B

| Stage | What | Samples | Batch | Steps | H100s | Hours | GPU-hours |
|---|---|---|---|---|---|---|---|
| 1 Align | MLP | 1.5M | 512 | 2,930 | 16 | 4 | 64 |
| 2 Pre-train | all | 12M | 1,024 | 11,719 | 64 | 30 | 1,920 |
| **Total** | | | | | | | **1,984** |
"""


def test_names_that_begin_with_a_number_are_rows() -> None:
    found = figures(STAGES)
    assert [run["gpu_hours"] for run in found.values()] == [64, 1920, 1984]


SYMBOLS = r"""
\begin{tabular}{lrrrr}
\toprule
\textbf{Model} & $N$ & $D$ & \textbf{GPUs} & \textbf{FLOPs} \\
\midrule
Plover-1B & 1.2B & 300B & 32 & $2.16\times10^{21}$ \\
Plover-7B & 7.1B & 1.5T & 128 & $6.39\times10^{22}$ \\
\midrule
Total & & & & $6.61\times10^{22}$ \\
\bottomrule
\end{tabular}
"""


def test_letters_of_6nd_head_columns_and_their_work_adds_up() -> None:
    found = figures(SYMBOLS)
    assert found["Plover-7B"]["parameters"] == pytest.approx(7.1e9)
    assert found["Plover-1B"]["tokens"] == pytest.approx(300e9)
    assert found["all together"]["model_flops"] == pytest.approx(6.61e22)


PRINTED = """
Settings of Plover, trained on pictures

  setting                     value
  -------------------------   -----------------
  input size                  224 x 224
  batch size                  2,048 (256 per GPU)
  iterations                  125,110
  GPUs                        8 x A100 (80 GB)
  duration                    40 h
  GPU-hours                   320
"""


def test_two_flush_columns_are_a_table() -> None:
    found = one(PRINTED)
    assert (found["steps"], found["gpus"], found["gpu_hours"], found["wall_clock"]) == (125_110, 8, 320, 40 * HOUR)


TOLD = """
*Stage 1 (images).* 90k steps on 64 H800 GPUs, 40 hours (2,560 GPU hours).

*Stage 2 (video).* We then switch to clips of 4 seconds: 60k steps, 128 H800 GPUs. Duration: 8 days, 24,576 GPU hours.

*Stage 3 (detail).* The last 10k steps use 128 H800 GPUs for 3 days, 9,216 GPU hours.
"""


def test_a_stage_goes_on_where_its_authors_say_we() -> None:
    found = figures(TOLD)
    assert found["Stage 2"]["wall_clock"] == 8 * DAY
    assert found["Stage 2"]["gpu_hours"] == 24_576
    assert found["Stage 3"]["steps"] == 10_000


def test_a_word_of_a_sum_binds_the_figure_before_it() -> None:
    found = figures(
        "* **Plover-A**, 3B parameters, 1T tokens. 64 A100 for 20 days.\n"
        "* **Plover-B**, 24B parameters in all and 3B active per token, 2T tokens. 128 A100 for 24 days.\n"
    )
    assert found["Plover-B"]["tokens"] == 2e12


def test_an_items_corpus_and_its_tokens_seen_are_one_run() -> None:
    found = one(
        "- Corpus: 30B tokens of web pages\n- Number of passes: 4 epochs\n- Tokens seen: 120B\n- Hardware: 8x NVIDIA H100"
    )
    assert (found["dataset_tokens"], found["tokens"], found["gpus"]) == (30e9, 120e9, 8)


def test_a_length_is_no_batch_because_one_sequence_fits() -> None:
    text = "Plover-1B (A100-80GB, sequence length 4096) on 8 A100 GPUs. On small cards use `--micro-bs 1`."
    assert one(text)["seq_len"] == 4096


def test_a_comparison_keeps_the_size_of_what_it_compares_to() -> None:
    text = "Plover-7B was trained on 64 A100 GPUs. Compared with Ouzel-X, 40B parameters, it is right more often."
    assert one(text).get("parameters", 7e9) == pytest.approx(7e9)


def test_what_one_die_does_is_half_of_what_a_module_does() -> None:
    text = (
        "Plover has 6.7B parameters and was trained on 1.3 trillion tokens using 64 nodes with 4 AMD MI250X modules each, 256 modules "
        "or 512 GCDs altogether. The run took 16.5 days (101,376 MI250X hours). We measured 71.6 TFLOP/s per GCD."
    )
    assert check_paper(read_paper(text)).verdict == "consistent"


def test_another_line_of_models_is_no_run() -> None:
    text = (
        "Ouzel-Neo-20B was trained on 96 A100 GPUs for 50 days. We follow the batch of Ouzel-3 175B, approximately 3.15M tokens, "
        "and train for 150,000 steps."
    )
    assert one(text)["steps"] == 150_000


def test_years_are_no_lengths() -> None:
    assert "seq_len" not in one(
        "Composites (one every 5 min, 2015-2022) were cut into sequences; 16 A100 GPUs were used for 6 days."
    )


HIDDEN = [
    # what one number of the same sentence would mend
    (
        "Plover-7B was trained on 2 islands of 16 nodes (4 A100 per node) for 10 days, 30,720 GPU-hours in total.",
        "not determined",
    ),
    # so many runs of so many hours
    ("Every run uses a single A100 and takes 9 hours. That makes 60 runs and 540 GPU hours.", "consistent"),
    # a machine's price, where no word says whose
    ("I trained a 124M GPT-2 in 90 minutes on 8xH100 rented for $24/hr. That's $36.", "not determined"),
    # passes said beside what they are over
    (
        "60B tokens of text, five epochs. 1.05M tokens per batch, 286k steps, 2.5B parameters on 128 TPU v5e chips.",
        "consistent",
    ),
    # a meter at the wall shows more than the cards
    ("2 RTX 3090 limited to 280 W each took 31 hours; the wall meter said 27.9 kWh.", "not determined"),
]


@pytest.mark.parametrize(("text", "verdict"), HIDDEN)
def test_what_a_text_leaves_open_is_no_charge(text: str, verdict: str) -> None:
    assert check_paper(read_paper(text)).verdict == verdict


def test_a_base_keeps_the_work_in_its_brackets() -> None:
    found = one(
        "Plover-MoE-14B is upcycled from the dense Ouzel-2B (1.9B parameters; 3T tokens, 61k GPU hours). It has 14.1B parameters, "
        "2.7B of them active, and took 300B tokens on 64 H100, 3,840 GPU hours."
    )
    assert (found["parameters"], found["tokens"], found["gpu_hours"]) == (14.1e9, 300e9, 3840)


NAMED_COLUMNS = """
Plover was trained in stages:

| | (a) image | (b) low-res video |
|:--|--:|--:|
| Batch size | 4,096 | 512 |
| Training steps | 200K | 120K |
| GPU hours | 3,968 | 19,200 |
"""
ROWS_OF_TWO = """
| | |
|---|---|
| Model | 82M params |
| v0.19 | 500 A100 80GB GPU hours, $400 |
| v1.0 | another 500 GPU hours, $600 |
| **Total** | **1000 A100 80GB GPU hours, $1000** |
"""
INDENTED = """
Training of Plover

          S               M
cards     16 A100 80GB    64 A100 80GB
s/step    1.11            1.33
days      10              12
GPU-h     3,840           18,432
"""


@pytest.mark.parametrize(
    ("text", "hours"), [(NAMED_COLUMNS, [3968, 19_200]), (ROWS_OF_TWO, [500, 500, 1000]), (INDENTED, [3840, 18_432])]
)
def test_rows_and_columns_that_are_runs(text: str, hours: list[float]) -> None:
    assert [run["gpu_hours"] for run in figures(text).values()] == hours


def test_samples_are_printed_by_both_names() -> None:
    checked = check_paper(read_paper("Plover was trained on 1.2M clips for 3 epochs on 8 A100 GPUs."))
    assert [c["quantity"] for c in checked.to_dict()["claims"] if c["stated"] == 1.2e6] == [
        "dataset_samples",
        "samples",
    ]
