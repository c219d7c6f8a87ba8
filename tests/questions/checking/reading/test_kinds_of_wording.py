"""Kinds of wording: stacked headers, headings continued by a paragraph, batches, ramps, sums, logs; all texts are our own."""

from __future__ import annotations

import itertools
import random

import pytest

from gpuhours.questions.checking.reading.formats.logs import with_bars, with_mean_time
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.read_texts import figures, one

HOUR, DAY = 3600.0, 86_400.0


STACKED = [
    r"\makecell{GPU\\hours}",
    r"\makecell[c]{GPU\\hours}",
    r"\thead{GPU\\hours}",
    r"\shortstack{GPU\\hours}",
    r"\shortstack[l]{GPU\\[2pt]hours}",
    r"\begin{tabular}[c]{@{}c@{}}GPU\\ hours\end{tabular}",
    r"\parbox{2cm}{GPU\\hours}",
    r"\textbf{\makecell{GPU\\hours}}",
]


@pytest.mark.parametrize("header", STACKED)
def test_a_cell_of_several_lines_is_one_cell(header: str) -> None:
    text = rf"""\begin{{tabular}}{{lrr}}
\toprule
Model & {header} & \shortstack{{Energy\\(MWh)}} \\
\midrule
Dunlin-7B & 10{{,}}240 & 4.5 \\
Dunlin-13B & 20{{,}}480 & 9.0 \\
\bottomrule
\end{{tabular}}"""
    found = figures(text)
    assert [found[name]["gpu_hours"] for name in ("Dunlin-7B", "Dunlin-13B")] == [10_240, 20_480]
    assert found["Dunlin-7B"]["energy"] == 4.5e6


MASSES = [
    "CO2e (kg)",
    "CO2 (kg)",
    "Emissions (kg)",
    "Carbon [kg]",
    "CO2eq (kilograms)",
    "Carbon footprint (kg)",
    "kg CO2e",
]


@pytest.mark.parametrize("header", MASSES)
def test_a_mass_under_a_header_of_carbon(header: str) -> None:
    text = f"| Job | GPUs | Hours | {header} |\n|---|---|---|---|\n| base | 8 | 60 | 9.1 |\n| large | 16 | 170 | 52.9 |"
    assert [run["carbon"] for run in figures(text).values()] == pytest.approx([0.0091, 0.0529])


RUN_IN = [
    "**{}.** {}",
    "**{}**. {}",
    "*{}.* {}",
    "***{}.*** {}",
    "__{}.__ {}",
    "\\textbf{{{}.}} {}",
    "\\textit{{{}}}. {}",
    "\\emph{{{}.}} {}",
    "\\paragraph{{{}.}} {}",
    "\\paragraph{{{}}} {}",
    "\\noindent\\textbf{{{}.}} {}",
]
STAGES = [
    ("Supervised fine-tuning", "We train on 90K dialogues with 16 A100 GPUs, which takes 5 hours (80 GPU-hours)."),
    ("Reward model", "It reads 118K comparisons; 42 GPU-hours on the same machines."),
    ("Policy", "We run 400 iterations in 38 hours, for 608 GPU-hours. The whole pipeline thus costs 730 GPU-hours."),
    (
        "Human data",
        "Comparisons were written by 60 annotators at \\$19.50 per hour, some 4,900 hours or \\$96K in total.",
    ),
]


@pytest.mark.parametrize("form", RUN_IN)
def test_headings_that_a_paragraph_goes_on_from_divide_a_text(form: str) -> None:
    tex = "\\" in form
    text = "\n\n".join(form.format(label, body if tex else body.replace("\\$", "$")) for label, body in STAGES)
    found = figures(text)
    assert found["Supervised fine-tuning"]["gpu_hours"] == 80
    assert found["Supervised fine-tuning"]["gpus"] == 16
    assert found["Reward model"]["gpu_hours"] == 42
    assert found["Policy"]["gpu_hours"] == 608
    assert found["all together"]["gpu_hours"] == 730
    assert not any("cost" in run or "price" in run for run in found.values())
    assert check_paper(read_paper(text)).verdict != "contradicted"


SAYING = [
    ("Plover-9B reads 2,048 sequences of 4,096 tokens in a batch.", {"global_batch": 2048, "seq_len": 4096}),
    ("Every batch of Plover-9B has 2,048 sequences of length 4,096.", {"global_batch": 2048, "seq_len": 4096}),
    ("For Plover-9B 2,048 sequences of 4,096 tokens each make a batch.", {"global_batch": 2048, "seq_len": 4096}),
    (
        "Each iteration samples 512 prompts; Plover-9B is trained for 400 iterations.",
        {"global_batch": 512, "steps": 400},
    ),
    ("Every step uses 512 examples, and there are 400 steps on 8 A100.", {"global_batch": 512, "steps": 400}),
    ("With 60 samples per GPU the batch is 4,800, on 80 A100.", {"global_batch": 4800, "microbatch": 60}),
    (
        "The learning rate rose for the first 2,000 updates to 1.75e-4.",
        {"warmup_steps": 2000, "learning_rate": 1.75e-4},
    ),
    ("The learning rate peaks at 3e-4 after 2,000 steps.", {"warmup_steps": 2000, "learning_rate": 3e-4}),
    ("The learning rate reaches 3e-4 after 2,000 steps.", {"warmup_steps": 2000}),
    ("The learning rate is raised over 2,000 steps and then decays.", {"warmup_steps": 2000}),
    ("The rate climbed linearly during 2,000 iterations.", {"warmup_steps": 2000}),
    ("AdamW, constant 1e-4, batch 256.", {"learning_rate": 1e-4, "global_batch": 256}),
    ("Adam (1e-4 peak, 10k warm-up), batch 256.", {"learning_rate": 1e-4, "warmup_steps": 10_000}),
    (
        "Adafactor with a transformer schedule (peak 4e-4, 40k warm-up).",
        {"learning_rate": 4e-4, "warmup_steps": 40_000},
    ),
    ("Byte-level BPE with 125,952 entries; Plover-9B has 9.1B parameters.", {"vocabulary": 125_952}),
    ("A SentencePiece model with 64,000 pieces; Plover-9B has 9.1B parameters.", {"vocabulary": 64_000}),
    ("Inputs are cut at 128 tokens; 4 A100, 3 days.", {"seq_len": 128}),
    ("Inputs are limited to 512 tokens; 4 A100, 3 days.", {"seq_len": 512}),
    ("A batch of 256 and 30k steps on 8 A100.", {"global_batch": 256, "steps": 30_000}),
    ("We accumulate gradients over 16 batches; 30k updates on 8 V100.", {"accumulation": 16, "steps": 30_000}),
    ("Two epochs over about 188M tokens on 4 H100 NVL.", {"epochs": 2, "dataset_tokens": 188e6}),
    ("Three passes through the 40M pairs on 4 H100 NVL.", {"epochs": 3, "dataset_samples": 40e6}),
    ("One epoch has 875 steps and the whole run 350,000 steps; 80 A100.", {"steps": 350_000}),
    ("One H100 hour is priced at $2.10; Plover-9B took 10,000 GPU-hours.", {"price": 2.10, "gpu_hours": 10_000}),
    ("We value a GPU-hour at $1.50; Plover-9B took 10,000 GPU-hours.", {"price": 1.5, "gpu_hours": 10_000}),
    ("The decoder took 61 hours on 64 of them, where the base used 128 A100 GPUs.", {"wall_clock": 61 * HOUR}),
    ("Tensor parallelism over two dies, a pipeline of four, and 128 replicas.", {"pipeline": 4, "data_parallel": 128}),
    ("On Monday at 04:12 the last batch was through: 22 days on 64 H100.", {"wall_clock": 22 * DAY, "gpus": 64}),
]


@pytest.mark.parametrize(("text", "expected"), SAYING)
def test_what_a_figure_is(text: str, expected: dict[str, float]) -> None:
    found = one(text)
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)


OTHERS = [
    "Others report an MFU of around 40 % for such models.",
    "Other labs have published 40 % for this size.",
    "For perspective, Merle-13B reached an MFU of 40 %.",
    "In the literature an MFU of 40 % is usual.",
    "Others claim 40 % MFU on such machines.",
    "For comparison, other teams reach 40 % MFU.",
]


@pytest.mark.parametrize("sentence", OTHERS)
def test_what_others_report_is_no_rival(sentence: str) -> None:
    text = (
        "We pre-train Wheatear-14B (14.3B parameters) on 2.0T tokens. On 512 H100 SXM GPUs we sustain 384 TFLOP/s per GPU, "
        f"an MFU of 19.4 %, and the run completes in 10.1 days. {sentence}"
    )
    assert check_paper(read_paper(text)).verdict == "contradicted"  # 384 of 989, not of 1,979


SUMS = [
    "The stages consumed 36,864, 147,456 and 61,440 GPU-hours, 245,760 in all.",
    "The stages consumed 36,864, 147,456 and 61,440 GPU-hours, together 245,760.",
    "The stages consumed 36,864, 147,456 and 61,440 GPU-hours (245,760 in total).",
    "36,864 + 147,456 + 61,440 GPU-hours = 245,760 altogether.",
]


@pytest.mark.parametrize("sentence", SUMS)
def test_a_sum_behind_its_parts_has_their_unit(sentence: str) -> None:
    every = [
        claim.value
        for run in read_paper(sentence).runs
        for claim in (*run.claims, *run.set_aside)
        if claim.quantity == "gpu_hours"
    ]
    assert 245_760 in every


def test_a_figure_that_the_runs_add_up_to_is_of_all() -> None:
    text = """
| Stage | GPUs | GPU hours | Steps |
|---|---|---|---|
| Stage 1 | 16 | 1,120 | 1,040 |
| Stage 2 | 32 | 1,920 | 500 |
| Stage 3 | 32 | 640 | 190 |

The 1,730 steps were 3,680 GPU hours.
"""
    found = figures(text)
    assert found["all together"] == {"steps": 1730, "gpu_hours": 3680}


BESIDE = [
    "Evaluation",
    "False starts",
    "Storage",
    "Failed runs",
    "Data cleaning",
    "Offline evaluation",
    "Labelling",
    "Ablations",
]


@pytest.mark.parametrize("label", BESIDE)
def test_items_beside_the_run_are_no_runs(label: str) -> None:
    text = f"""Plover-3B (3.1B parameters) took 190 hours on 64 H100s, 12,160 GPU-hours or $28,576.

* **{label}.** Some of it was dear: $640.
* **Salaries.** Nobody counted: $9,310.
"""
    found = one(text)
    assert (found["gpu_hours"], found["cost"]) == (12_160, 28_576)


def test_many_short_jobs_are_not_the_run() -> None:
    text = (
        "All experiments ran on one server with 8 RTX A6000 (48GB). Pre-training used all of its cards for three days "
        "(576 GPU-hours). The comparison consists of 24 runs of about 6.5 hours on a single card."
    )
    found = one(text)
    assert (found["gpus"], found["wall_clock"], found["gpu_hours"]) == (8, 3 * DAY, 576)


def test_what_was_granted_was_not_used() -> None:
    head = "| Project | Allocation (node-hours) | Used (node-hours) |\n|---|---|---|\n"
    table = f"{head}| Knot | 150,000 | 67,468 |\n| Sanderling | 6,000 | 4,224 |"
    assert [run["node_hours"] for run in figures(table).values()] == [67_468, 4_224]


def test_hours_and_minutes_under_their_form_and_digits_grouped_by_blanks() -> None:
    head = "| Run | GPUs | Elapsed (hh:mm) | GPU-hours |\n|---|---|---|---|\n"
    table = f"{head}| linnet-1b | 128 | 163:30 | 20 928 |\n| linnet-3b | 256 | 201:15 | 51 520 |"
    found = figures(table)
    assert found["linnet-1b"] == {"parameters": 1e9, "gpus": 128, "wall_clock": 163.5 * HOUR, "gpu_hours": 20_928}
    assert found["linnet-3b"]["wall_clock"] == 201.25 * HOUR


def test_lengths_of_data_are_no_time_of_a_run() -> None:
    table = "| | Base | Large |\n|---|---|---|\n| Audio per batch (min) | 47 | 120 |\n| GPUs | 32 | 128 |\n| Training time (h) | 42 | 118 |"
    assert [run["wall_clock"] for run in figures(table).values()] == [42 * HOUR, 118 * HOUR]


TRAINER = """[INFO|trainer.py:2134] 2024-05-06 21:08:33,410 >> ***** Running training *****
[INFO|trainer.py:2135] 2024-05-06 21:08:33,410 >>   Num examples = 90,000
[INFO|trainer.py:2136] 2024-05-06 21:08:33,410 >>   Num Epochs = 3
[INFO|trainer.py:2142] 2024-05-06 21:08:33,410 >>   Total optimization steps = 2,109
[INFO|trainer.py:2143] 2024-05-06 21:08:33,412 >>   Number of trainable parameters = 1,543,714,304
 34%|###      | 717/2109 [1:27:21<4:44:02,  7.31s/it]
100%|#########| 40/40 [00:31<00:00,  1.28it/s]
100%|#########| 2109/2109 [4:17:14<00:00,  7.32s/it]
"""


def test_a_trainers_lines() -> None:
    found = one(TRAINER)
    expected = {
        "steps": 2109,
        "epochs": 3,
        "parameters": 1_543_714_304,
        "dataset_samples": 90_000,
        "step_time": 7.32,
        "wall_clock": 15_434,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_the_last_bar_of_the_longest_count_stays() -> None:
    assert with_bars("no bar: 5 %| at all") == "no bar: 5 %| at all"
    shown = with_bars(TRAINER)
    assert shown.count("steps: 2109") == 1
    assert "40/40" not in shown
    assert shown.count("\n") == TRAINER.count("\n")


def test_a_mean_stands_for_the_steps_that_it_is_of() -> None:
    log = "Train: 0 [0/99]  Time: 9.4s,  108.8/s  (9.4s,  108.8/s)\nTrain: 9 [99/99]  Time: 0.38s, 2701.8/s  (0.386s, 2652.8/s)\n"
    assert one(with_mean_time(log))["step_time"] == 0.386


SLURM = [
    "RunTime=1-16:30:00 TimeLimit=2-00:00:00",
    "Elapsed: 1-16:30:00",
    "elapsed=40:30:00",
    "walltime: 1 day, 16:30:00",
]


@pytest.mark.parametrize("said", SLURM)
def test_how_long_a_job_took(said: str) -> None:
    assert one(f"JobState=COMPLETED {said}\nTRES=cpu=160,node=4,gres/gpu:v100=16\n")["wall_clock"] == 40.5 * HOUR


MEGATRON = """global_batch_size ............ 1024
hidden_size .................. 4096
num_layers ................... 32
seq_length ................... 4096
number of parameters: 6738415616
using world size: 128, data-parallel size: 128
 iteration 45190/ 119209 | elapsed time per iteration (ms): {:.1f} | throughput per GPU (TFLOP/s/GPU): 185.5 | global batch size: 1024 |
"""


def test_attention_that_a_log_counts_in_full_is_a_convention() -> None:
    """(6 N + 12 L d s) B s = 6 x 6.74e9 x 4.19e6 x 1.159 = 1.97e17 FLOP; at 128 x 185.5 TFLOP/s, 8.28 s."""
    flop = (6 * 6_738_415_616 + 12 * 32 * 4096 * 4096) * 1024 * 4096
    seconds = flop / (128 * 185.5e12)
    assert check_paper(read_paper(MEGATRON.format(1e3 * seconds))).verdict == "consistent"


SIZES = [
    "The models with 650M, 3B and 15B parameters were trained on 512 V100 GPUs for 8, 30 and 60 days, respectively.",
    "For 8, 30 and 60 days, respectively, we trained models with 650M, 3B and 15B parameters on 512 V100 GPUs.",
]


@pytest.mark.parametrize("sentence", SIZES)
def test_sizes_in_a_list_are_runs_also_where_they_are_named_again(sentence: str) -> None:
    text = f"{sentence}\n\nA batch has 2 million tokens, and 3.2 million tokens for the 15B model."
    found = figures(text)
    assert [run["wall_clock"] / DAY for run in found.values()] == [8, 30, 60]
    assert found["15B"]["global_batch_tokens"] == 3.2e6
    assert found["3B"]["global_batch_tokens"] == 2e6


WAYS = {
    "tokens": [
        "1.8T tokens",
        "1,800B tokens",
        "1.8 trillion tokens",
        "1,800,000,000,000 tokens",
        "1.8e12 tokens",
        "1.8 × 10^12 tokens",
    ],
    "gpu_hours": [
        "1.8M GPU-hours",
        "1,800,000 GPU hours",
        "1.8 million GPU-hours",
        "1800K GPU hours",
        "1.8e6 GPU-hours",
    ],
    "gpus": ["1,024 H100 GPUs", "1024 H100s", "1024x H100", "1,024 NVIDIA H100 cards", "1024 × H100 SXM"],
    "wall_clock": ["75 days", "1,800 hours", "1800h", "seventy-five days"],
    "global_batch_tokens": ["4M tokens", "4 million tokens", "4,000,000 tokens", "4e6 tokens"],
}
PARAGRAPHS = [
    "We pre-train Plover-30B on {tokens}. It is a decoder with rotary embeddings.",
    "Training ran on {gpus} and took {wall_clock}, for {gpu_hours} in total.",
    "A batch has {global_batch_tokens}. AdamW is used throughout.",
]


def test_the_ways_of_writing_a_number_and_the_order_of_paragraphs_do_not_matter() -> None:
    draw = random.Random(14)
    for order in itertools.permutations(PARAGRAPHS):
        said = {name: draw.choice(ways) for name, ways in WAYS.items()}
        text = "\n\n".join(order).format(**said)
        for written in (text, text.upper().replace("E12", "e12").replace("E6", "e6")):
            found = one(written)
            assert found["tokens"] == 1.8e12, written
            assert (found["gpus"], found["gpu_hours"]) == (1024, 1.8e6), written
            assert (found["wall_clock"], found["global_batch_tokens"]) == (75 * DAY, 4e6), written


OWN = [
    "The first stage of Plover-9B uses 64 A100, the others have 128 A100. It took 9 days.",
    "GPU-hours are a proxy for money: Plover-9B took 9 days on 128 A100.",
    "By sampling a batch at a time, Plover-9B took 9 days on 128 A100.",
]


@pytest.mark.parametrize("text", OWN)
def test_words_of_others_and_of_use_that_are_about_the_run(text: str) -> None:
    paper = read_paper(text)
    assert 128 in [
        claim.value for run in paper.runs for claim in (*run.claims, *run.set_aside) if claim.quantity == "gpus"
    ]
    assert not [
        claim for claim in paper.set_aside if claim.scope.startswith(("belongs", "about use", "about experiments"))
    ]


def test_limits_and_budgets_that_are_no_allocation() -> None:
    head = "| Model | GPUs | Power limit (W) | Compute budget (FLOP) |\n|---|---|---|---|\n"
    table = f"{head}| Dunlin-1B | 8 | 400 | 1e21 |\n| Dunlin-3B | 16 | 400 | 9e21 |"
    assert [run["model_flops"] for run in figures(table).values()] == [1e21, 9e21]
