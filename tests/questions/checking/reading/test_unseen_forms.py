"""Forms in which real texts print figures, in our own words, and no contradiction that depends on a guess."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.reading.formats.digit_groups import without_space_groups
from gpuhours.questions.checking.reading.formats.logs import with_pairs
from gpuhours.questions.checking.reading.formats.marks import in_points, without_point_groups
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

HOUR, DAY = 3600.0, 86_400.0


def figures(document: Document) -> dict[str, float]:
    return {claim.quantity: claim.value for claim in document.claims}


FORMS = [
    ("Training read one point six trillion tokens.", "tokens", 1.6e12),
    ("It took a little over fifteen days (15.5) to train.", "wall_clock", 15.5 * DAY),
    ("We trained between 4 and 29 August 2025 on 64 H100 GPUs.", "wall_clock", 25.5 * DAY),
    ("Hours used: 96 (per card)", "wall_clock", 96 * HOUR),
    ("It drew 300 W x 384 h x 0.27 kg/kWh.", "gpu_hours", 384),
    ("The run needed 18,432 GPU-hours at $1.29 = $23.8k.", "price", 1.29),
    ("A pod slice of 512 chips did it.", "gpus", 512),
    ("We ran 100,000 iterations of 512 sequences x 2,048 tokens.", "global_batch", 512),
    ("On one A100 the student was trained in 11 further minutes.", "wall_clock", 660),
    ("The training reached 37% of 667 dense bf16 TFLOPS per chip.", "peak_flops", 667e12),
    ("We used four trn2.48xlarge instances for it.", "nodes", 4),
    ("Memory of each accelerator ............ 32 GB", "memory_per_gpu", 32e9),
    ("It was trained with 64 A100 GPUs for 36,600 steps, 70 hours in all.", "wall_clock", 70 * HOUR),
    ("{{Infobox\n| training data = 800 billion [[Lexical analysis|tokens]]\n}}", "tokens", 8e11),
    ("The 4B student trains for two epochs over 9,800 contracts.", "dataset_samples", 9800),
    ("Total GPU hours were 41,472 for the base.", "gpu_hours", 41_472),
    ("The run took 41,472 GPU h.", "gpu_hours", 41_472),
    ("| Run | A100 GPU·h |\n|---|---|\n| base | 812 |", "gpu_hours", 812),
    (r"\section{Cost} We spent \SI{5120}{GPU\cdot h} on it.", "gpu_hours", 5120),
    (r"\section{Cost} The run drew \SI{3.2}{\mega\watt\hour}.", "energy", 3.2e6),
    ("The job finished after 2d 3h 30m of training.", "wall_clock", 2 * DAY + 3.5 * HOUR),
    ("This takes 1.98 10^23 FLOPs.", "model_flops", 1.98e23),
    ("The grid emits 0.41 t CO2 per MWh.", "carbon_intensity", 0.41),
    ("We trained on 96 A100 GPUs, eight to a server.", "gpus_per_node", 8),
    ("We ran on 12 nodes of 8.", "gpus_per_node", 8),
    ("We used one machine with 8 P100 GPUs.", "gpus", 8),
    ("Our encoder has L = 12, H = 768 and A = 12.", "hidden", 768),
    ("Training ran at 38% of A100 peak.", "mfu", 0.38),
    ("We assume a PUE of 1.1 and 0.32 kg CO2eq per kWh.", "pue", 1.1),
    ("We use AdamW with batch size 256, 100k steps.", "global_batch", 256),
    ("The model read 125B tokens in 4 epochs, or 500B tokens in total.", "dataset_tokens", 125e9),
    ("The dense one ran on 128 A100s for 9 days.", "gpus", 128),
    ("| Model | Learning rate |\n|---|---|\n| A | $2e^{-4}$ |", "learning_rate", 2e-4),
    ("Hourly rate: $1.60 per GPU", "price", 1.6),
    ("Tern was trained on D = 500B tokens with N = 16.2B.", "parameters", 16.2e9),
    ("| Chips | Data shards | Model shards |\n|---|---|---|\n| 4096 | 1024 | 4 |", "tensor", 4),
    ("Clips of 16 x 224 x 224 are fed.", "frames_per_clip", 16),
    ("We collect 2M clips (about 3,100 hours) for it.", "video_hours", 3100),
    (r"\section{Speed} A step takes \SI{420}{\milli\second} of training.", "step_time", 0.42),
    ("The release costs $6,400, with $1.60 for an A100-hour.", "price", 1.6),
    ("Plover is pretrained on 21 TB of scenes.", "dataset_bytes", 21e12),
    ("| Setting | Value |\n|---|---|\n| momentum | β1, β2 = 0.9, 0.95 |", "beta2", 0.95),
    ("| Model | #GPU×days | Steps |\n|---|---|---|\n| Plover | 32×3 | 200k |", "wall_clock", 3 * DAY),
    ("| Depth | Parameters |\n|---|---|\n| 24 | 2.0B |", "layers", 24),
    ("The job took four and three quarter days.", "wall_clock", 4.75 * DAY),
    ("It was billed 5,328 instance-hours on 32 nodes.", "node_hours", 5328),
    ("GBS 768 x 4,096 on 64 H100.", "seq_len", 4096),
    ("GBS 768 x 4,096 on 64 H100.", "global_batch", 768),
    ("The run took 9 h 40.", "wall_clock", 9 * HOUR + 40 * 60),
    ("One A6000, batch 32, grad. acc. 4, lr 1e-5, 300 warmup steps, 7,000 steps.", "steps", 7000),
    ("One A6000, batch 32, grad. acc. 4, lr 1e-5, 300 warmup steps, 7,000 steps.", "accumulation", 4),
    ("Hours used: 41 (wall-clock; 328 GPU hours)", "wall_clock", 41 * HOUR),
    ("Hours used: 41 (wall-clock; 328 GPU hours)", "gpu_hours", 328),
    ("- **Training FLOPS:** 7.4E+21", "model_flops", 7.4e21),
    ("It used 3,06,291 GPU-hours on H100.", "gpu_hours", 306_291),
    ("Plover was trained on 40,000 crore tokens.", "tokens", 4e11),
    ("List price would be 16 x $2.25 x 30 h.", "price", 2.25),
    ("- 3,840 GPU hours at $2.10/hr = $8.1k", "price", 2.1),
    ("- 3,840 GPU hours at $2.10/hr = $8.1k", "cost", 8100),
    ("The present record is 820 steps of 262,144 tokens.", "global_batch_tokens", 262_144),
    ("batch_size = 12\nblock_size = 1024\ngradient_accumulation_steps = 5 * 8\n", "accumulation", 40),
    ("batch_size = 12\nblock_size = 1024\ngradient_accumulation_steps = 5 * 8\n", "microbatch", 12),
    ("iter 0: loss 10.9, time 40000ms\niter 10: loss 9.1, time 250ms", "step_time", 0.25),
    ("We used 16 A100s, 40G.", "memory_per_gpu", 40e9),
    ("train_runtime          7200.5\ntrain/global_step   900\n", "wall_clock", 7200.5),
    ("Plover was trained in 40 hours, spread over two weeks.", "wall_clock", 40 * HOUR),
    ("16 A100, reserved for two weeks; 9 days of actual training.", "wall_clock", 9 * DAY),
    (
        "```\nJobID  JobName    Elapsed NNodes\n------ ------- ---------- ------\n     1 main    2-06:00:00     16\n```\n",
        "wall_clock",
        54 * HOUR,
    ),
    ("The tensor and pipeline degrees were 8 and 6.", "pipeline", 6),
    ("Batch size, sequence length and weight decay are 384, 2048 and 0.1.", "seq_len", 2048),
    ("(tensor, pipeline, data) = (4, 2, 16) on A100.", "data_parallel", 16),
    ("Our corpus has 31M proteins, that is 9.4B residues.", "tokens", 9.4e9),
    ("Each picture is seen 55 times by Plover-1B.", "epochs", 55),
    ("The total number of updates is 420,000.", "steps", 420_000),
    ("We use gradient accumulation to 2,048 sequences of length 512.", "global_batch", 2048),
    ("Global batch is 4.2M tokens, that is 1,024 sequences with 4,096 length.", "global_batch", 1024),
    ("Its batch is 768 at 2,048 tokens.", "seq_len", 2048),
    ("We reached a third of the peak of the A100 in training.", "mfu", 0.33),
    ("The run occupied 96 nodes for 20 days of calendar time.", "wall_clock", 20 * DAY),
    ("It took 240k TPU-core-hours on TPU v3.", "gpu_hours", 240_000),
    ("We trained on 64 H100s (8 DGX).", "nodes", 8),
    ("We trained a 62B dense decoder on 16 TPU v4.", "parameters", 62e9),
    ("Training started: 3 March 2024\nTraining finished: 28 March 2024\nTokens: 700B", "wall_clock", 25.5 * DAY),
    ("The run began on January 5, 2023. It ended on January 15, 2023.", "wall_clock", 10.5 * DAY),
    ("| Seq. len. | 4096 |\n|---|---|\n| Model dim | 2048 |", "seq_len", 4096),
    ("| Seq. len. | 4096 |\n|---|---|\n| Model dim | 2048 |", "hidden", 2048),
    ("Batch size 4096, 1.28M images, 90 epochs.", "dataset_samples", 1.28e6),
    ("Plover-7B took 90 node-hours (each node has four MI250X).", "gpus_per_node", 4),
    ("| Setting | Value |\n|---|---|\n| \\\\(n_{layers}\\\\) | 28 |\n| \\\\(d_{model}\\\\) | 4096 |", "layers", 28),
]


@pytest.mark.parametrize(("text", "quantity", "value"), FORMS)
def test_forms(text: str, quantity: str, value: float) -> None:
    found = figures(read_paper(text).single)
    assert found.get(quantity) == pytest.approx(value, rel=0.03), found


PROGRAMS = [
    ("python train.py --lr 2e-4 --grad_accum 8 --num_train_epochs 3", {"learning_rate": 2e-4, "accumulation": 8, "epochs": 3}),
    ("world_size=64 dp=64 tp=1 | seq_len=4096", {"gpus": 64, "data_parallel": 64, "tensor": 1, "seq_len": 4096}),
    ("[2025-05-03 02:31:44] step 1000/143051 | dt 1176 ms | tok/s/gpu 27860 | mfu 0.25",
     {"steps": 143_051, "step_time": 1.176, "tokens_per_second_per_gpu": 27_860, "mfu": 0.25}),
    ("step 00100/21400 | tok/sec: 529,882 | mfu: 48.20 | total time: 7.9m", {"mfu": 0.482, "tokens_per_second": 529_882}),
    ("tokens: 1.2B | MFU 41.2 | GPU hours: 48 | gpus 8", {"mfu": 0.412, "gpu_hours": 48, "tokens": 1.2e9, "gpus": 8}),
    ("The run on MFU 64 used 64 GPUs.", {"mfu": None, "gpus": 64}),
    ('{"n_layer": 36, "n_embd": 1280, "max_iters": 100000, "_runtime_h": 57.8, "n_gpu": 8}',
     {"layers": 36, "hidden": 1280, "steps": 100_000, "wall_clock": 57.8 * HOUR, "gpus": 8}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), PROGRAMS)
def test_what_programs_print(text: str, wanted: dict[str, float]) -> None:
    found = figures(read_paper(text).single)
    assert {name: found.get(name) for name in wanted} == pytest.approx(wanted)


def test_pairs_keep_their_lines() -> None:
    text = "a_b=1 c=2\nstep 3/40 | dt 5 ms | mfu 0.4\n--lr 1e-4"
    assert with_pairs(text).count("\n") == text.count("\n")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("27,6 days = 169 728 GPU-hours at PUE 1,2: done", "27.6 days = 169,728 GPU-hours at PUE 1.2: done"),
        ("1,024 GPUs and 2,5 days, 3,5 hours", "1,024 GPUs and 2,5 days, 3,5 hours"),
    ],
)
def test_decimal_commas_where_no_group_has_a_comma(text: str, read: str) -> None:
    assert without_space_groups(in_points(text)) == read


SLASHED = "| | S / M |\n|:--|:--|\n| Parameters | 0.6B / 2.1B |\n| H200 GPUs | 16 / 64 |\n| Days | 4 / 6.75 |\n"
OURS = (
    "| Model | Size | Tokens | Device-hours |\n|---|---|---|---|\n| Palisade-7B | 7B | 1.0T | 93,000 |\n"
    "| Fjord-13B | 13B | 1.3T | 210,000 |\n| Tamarack-4B (ours) | 3.9B | 1.8T | 29,900 |\n\nWe trained on 96 H100 GPUs for 13 days.\n"
)
PHASES = "We train on a single 8xH100 server. Phase I takes 36,600 steps, 70 hours. Phase II takes 3,711 steps and is over in 6 hours."


def test_slashed_columns_are_runs() -> None:
    found = {run.name: figures(run) for run in read_paper(SLASHED).runs}
    assert found["M"]["gpus"] == 64
    assert found["S"]["wall_clock"] == 4 * DAY


def test_rows_beside_ours_are_other_peoples() -> None:
    paper = read_paper(OURS)
    (run,) = paper.runs
    found = figures(run)
    assert (found["gpu_hours"], found["gpus"], found["parameters"]) == (29_900, 96, 3.9e9)
    assert any(claim.scope == "belongs to Fjord-13B" and claim.value == 210_000 for claim in paper.set_aside)


def test_phases_that_clash_are_runs() -> None:
    found = {run.name: figures(run) for run in read_paper(PHASES).runs}
    assert found["Phase I"]["wall_clock"] == 70 * HOUR
    assert found["Phase II"]["steps"] == 3711


SOUND = (
    "Osprey-9B has 9.0 billion parameters.\n\nIt was trained on 1.5 trillion tokens with 512 A100 GPUs for 14.5 days.\n\n"
    "The run consumed 178,176 GPU-hours at an MFU of 42%.\n\nAnother job of 64 GPUs prepared the data for 3 days."
)


@pytest.mark.parametrize("left_out", range(4))
def test_no_part_of_a_sound_text_is_contradicted(left_out: int) -> None:
    parts = SOUND.split("\n\n")
    assert check_paper(read_paper("\n\n".join(parts[:left_out] + parts[left_out + 1 :]))).verdict != "contradicted"


def test_a_charge_that_another_figure_would_mend_is_open() -> None:
    """3.4 days fit 300,000 steps of 0.98 s, or 100,000 steps, and the text connects them to neither."""
    text = "Training needed 8 V100 GPUs and 816 GPU-hours. It lasted 4.25 days. Later the training lasted 9 days."
    swapped = text.replace("4.25", "x").replace("9 days", "4.25 days").replace("x", "9")
    (run,) = check_paper(read_paper(swapped)).runs
    assert not run.contradictions
    assert run.doubts[0].condition
    assert run.verdict == "not determined"
    assert check_paper(read_paper(text)).verdict == "consistent"


def test_a_text_may_end_at_any_word() -> None:
    """The last words of a file often lack what a reader looks for behind a figure: a unit, a noun, a full stop."""
    text = (
        "The 30B model has 48 layers of 64 heads, 8 experts of 128 at work per token; it saw 1.2T tokens in 300,000 steps of 4M tokens "
        "(2,048 samples of 2k) on 16 nodes of 8 H100 GPUs each at 41 % MFU for 12.5 days, $2 per GPU-hour, 700 W, 25 MWh, 9 t CO2, "
        "80 GB, 400 Gb/s, 3.3e23 FLOPs, 1.5 epochs, data 16 x tensor 8 x pipeline 1"
    )
    words = text.split(" ")
    for end in range(1, len(words) + 1):
        for part in (words[:end], words[end - 1 :], words[max(end - 4, 0) : end]):
            read_paper(" ".join(part).rstrip(",;)"))


def test_experts_without_active_parameters_contradict_nothing() -> None:
    text = "The model has 12.4B parameters and routes every token to 2 of 24 experts. 900B tokens on 96 H100 GPUs took 17.5 days, MFU 15%."
    assert check_paper(read_paper(text)).verdict != "contradicted"


def test_rated_power_for_measured() -> None:
    text = (
        "Training took 16,740 H100 GPU-hours. The cards drew 410 W on average. PUE 1.10. In sum the energy is 12.9 MWh."
    )
    (run,) = check_paper(read_paper(text)).runs
    assert run.contradictions[0].likely_causes[0].cause == "TDP for measured power"


@pytest.mark.parametrize(("text", "read"), [
    ("a batch of 2.048 sequences took 1.500 GPU hours", "a batch of 2,048 sequences took 1,500 GPU hours"),
    ("1.250.000 clips, 3.125 days", "1,250,000 clips, 3,125 days"),
    ("it ran at 4.096 samples per second for 1.500 hours", "it ran at 4.096 samples per second for 1.500 hours"),
    ("a loss of 2.048 after 1.375 days", "a loss of 2.048 after 1.375 days"),
    ("2.048 sequences, a rate of 1.500e-4, 1.125B parameters, 0.125", "2,048 sequences, a rate of 1.500e-4, 1.125B parameters, 0.125"),
])  # fmt: skip
def test_points_group_digits_where_a_count_has_no_fraction(text: str, read: str) -> None:
    assert without_point_groups(text) == read
