"""What two further sets of texts showed to be missing in the grammar and the tables of words; all in our own words."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.precision import rounding
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

HOUR, DAY = 3600.0, 86_400.0


def figures(text: str) -> dict[str, dict[str, float]]:
    return {run.name: {claim.quantity: claim.value for claim in run.claims} for run in read_paper(text).runs}


def one(text: str) -> dict[str, float]:
    (found,) = figures(text).values()
    return found


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


GIVEN = [
    ("Plover then saw 60k steps on 384x384 images, on 32 A100 GPUs.", "resolution", 384),
    (
        "Plover has 310B parameters in total and uses 17B of them for a token; 9T tokens on 1,024 H100.",
        "active_parameters",
        17e9,
    ),
    ("**Plover: 90B parameters, 6B at a time.** It read 4T tokens on 512 H100.", "active_parameters", 6e9),
    (
        "Plover was shown this text in 4 epochs, 90B tokens once duplicates are gone, on 64 A100 cards.",
        "dataset_tokens",
        90e9,
    ),
    ("We train Plover-2B on 64 A100. The node has two EPYC processors with 48 cores each.", "gpus", 64),
    (
        "All experiments in this chapter were run on a single node with four NVIDIA A100 cards; Plover-M took 31 hours.",
        "gpus",
        4,
    ),
    ("Plover (base learning rate 3 × 10−4, dropout 0.1) was trained on 64 A100 GPUs.", "learning_rate", 3e-4),
    ("Plover was trained on 64 A100 GPUs for 100k steps, lr 4e-4, 8k warmup, bf16.", "warmup_steps", 8000),
    ("Plover is 16 layers deep and 768 wide; it was trained on 8 A100 GPUs.", "hidden", 768),
    ("On 32 A100 GPUs Plover made 70k steps of 8,192 pairs at 2.5 s.", "step_time", 2.5),
    ("Plover learned from 56,000 calls of 4 seconds on 8 L40S cards.", "clip_seconds", 4),
    ("Plover, a picture tower of 0.4B against captions, was trained on 32 A100 GPUs.", "parameters", 0.4e9),
    ("The policy, a 9B Corvid VLM, was trained on 64 A100 GPUs for 8 days.", "parameters", 9e9),
    ("Plover was trained on 16 A100. Mined pairs (34M), batch size 8,192.", "dataset_samples", 34e6),
    (
        "Plover has a batch size of 2M tokens, that is 1024 contexts of 2048 tokens each, on 64 A100 GPUs.",
        "global_batch",
        1024,
    ),
    ("| Setting | Value |\n|---|---|\n| Optimiser | AdamW |\n| Momentum | 0.9, 0.98 |\n| GPUs | 64 |", "beta2", 0.98),
    (
        "For the baseline of Chapter 3, a Plover-B of 86M parameters was trained for 400 epochs on 8 A100 GPUs.",
        "epochs",
        400,
    ),
]


@pytest.mark.parametrize(("text", "quantity", "value"), GIVEN)
def test_given_to_the_run(text: str, quantity: str, value: float) -> None:
    assert one(text)[quantity] == pytest.approx(value)


BESIDE = [
    ("The classifier learned for 4 days on 16 L40S cards. A microphone costs $95.", "cost"),
    ("Training Plover took 4 days on 16 L40S cards. An H100 sells for $31,000.", "cost"),
    ("After our $25M Series B we trained Plover-3B on 64 H100 GPUs for 9 days.", "cost"),
    ("Plover-2B was trained on 64 A100 GPUs. One source, a dictionary, was read 3.5 times.", "epochs"),
    (
        "Plover-2B was trained on 64 A100 for 9 days. The decoder was not trained by us (12T tokens, see its own card).",
        "tokens",
    ),
    ("The IsoFLOP sweep used 2,400 H100 hours. Then we trained Plover-2B on 64 H100.", "gpu_hours"),
    ("Plover was trained on 64 A100 GPUs. The linear probe was trained for 30 epochs.", "epochs"),
    ("Plover was trained on 64 A100 GPUs. The longest stop (job 771) lasted 3 h 20 min.", "wall_clock"),
]


@pytest.mark.parametrize(("text", "quantity"), BESIDE)
def test_kept_out(text: str, quantity: str) -> None:
    assert quantity not in one(text)


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
