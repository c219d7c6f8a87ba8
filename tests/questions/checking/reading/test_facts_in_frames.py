"""The same facts in the frames that real texts have: prose, labels, cards, tables of three languages; any word order places them."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper

DAY, HOUR = 86_400.0, 3600.0
TITLE = "# Plover\n\nPlover is a model that we trained.\n\n"

UNITS_IN_LABELS = {
    "gpus": (512, [("number of GPUs", "512"), ("GPU count", "512"), ("total number of accelerators", "512")]),
    "wall_clock": (18 * DAY, [("training time (days)", "18"), ("training days", "18"), ("wall-clock (h)", "432")]),
    "gpu_hours": (221_184, [("GPU hours", "221,184"), ("total GPU-hours", "221,184"), ("H100 hours", "221,184")]),
    "mfu": (0.41, [("MFU (%)", "41"), ("MFU", "0.41"), ("model FLOPs utilization (%)", "41.0")]),
    "tokens": (2.1e12, [("training tokens", "2.1T"), ("number of tokens", "2.1 trillion"), ("tokens seen", "2.1T")]),
    "parameters": (6.8e9, [("number of parameters", "6.8 billion"), ("parameter count", "6.8B"), ("parameters (B)", "6.8")]),
    "energy": (180e6, [("energy (MWh)", "180"), ("energy use in MWh", "180"), ("total energy [MWh]", "180")]),
    "carbon": (54, [("emissions (tCO2e)", "54"), ("carbon emitted (tCO2eq)", "54")]),
    "cost": (442_000, [("cost (USD)", "442,000"), ("training cost in USD", "442,000")]),
    "tokens_per_second": (1.35e6, [("tokens per second", "1,350,000"), ("throughput (tokens/s)", "1.35M")]),
    "step_time": (3.1, [("step time (s)", "3.1"), ("seconds per step", "3.1")]),
    "steps": (500_000, [("number of steps", "500,000"), ("training steps", "500k")]),
    "gpu_power": (560, [("power per GPU (W)", "560"), ("average GPU power [W]", "560")]),
    "carbon_intensity": (0.3, [("carbon intensity (kg CO2/kWh)", "0.30"), ("carbon intensity (gCO2/kWh)", "300")]),
    "flops_per_second_per_gpu": (405e12, [("throughput (TFLOP/s/GPU)", "405"), ("TFLOPS per GPU", "405")]),
    "memory_per_gpu": (80e9, [("GPU memory (GB)", "80"), ("memory per GPU (GB)", "80")]),
}  # fmt: skip
"""A value, and labels that give the unit of a bare number."""

FRAMES = {
    "is": "The {label} is {value}.",
    "was, behind another phrase": "For this run the {label} was {value}.",
    "came to": "The {label} came to {value}.",
    "amounted to": "In this run, the {label} amounted to {value} overall.",
    "in brackets": "Training was uneventful ({label}: {value}).",
    "a line with a dash": "- {Label} — {value}",
    "a bold label": "- **{Label}:** {value}",
    "leader dots": "{label} ........ {value}",
    "a value under a heading": "## {Label}\n\n{value}",
    "a row of settings": "| Item | Value |\n|---|---|\n| {Label} | {value} |\n| Seed | 17 |",
    "a column": "| Model | {Label} | Notes |\n|---|---|---|\n| Plover | {value} | ours |",
    "a column in HTML": "<table><tr><td>Model</td><td>{Label}</td></tr><tr><td>Plover</td><td>{value}</td></tr></table>",
    "a row in LaTeX": "\\begin{{tabular}}{{lr}}\n\\toprule\nItem & Value \\\\\n\\midrule"
    "\n{Label} & {value} \\\\\nSeed & 17 \\\\\n\\end{{tabular}}",
}


def holds(text: str, quantity: str, value: float) -> bool:
    """Whether a run of a text has the value for the quantity."""
    runs = read_paper(TITLE + text).runs
    return any(
        c.quantity == quantity and c.value == pytest.approx(value, rel=0.012) for run in runs for c in run.claims
    )


@pytest.mark.parametrize("frame", FRAMES)
def test_a_label_gives_its_unit_in_any_frame(frame: str) -> None:
    missed = []
    for quantity, (value, labels) in UNITS_IN_LABELS.items():
        for label, number in labels:
            shown = label.replace("%", "\\%") if "LaTeX" in frame else label
            text = FRAMES[frame].format(label=shown, Label=shown[0].upper() + shown[1:], value=number)
            if not holds(text, quantity, value):
                missed.append((quantity, text))
    assert not missed


SAID = [
    ("1.35 million tokens were processed per second.", "tokens_per_second", 1.35e6),
    ("4.19M tokens are processed per step.", "global_batch_tokens", 4.19e6),
    ("Each optimizer step covers 4.19M tokens.", "global_batch_tokens", 4.19e6),
    ("Every update draws 1,024 sequences.", "global_batch", 1024),
    ("Iterations took 3.1 s each.", "step_time", 3.1),
    ("Steps complete in 3.1 s.", "step_time", 3.1),
    ("Average step: 3.1 s", "step_time", 3.1),
    ("The model was updated 500,000 times.", "steps", 500_000),
    ("The run stopped at step 500,000.", "steps", 500_000),
    ("Training passed over the data 4 times.", "epochs", 4),
    ("The model saw the data four times.", "epochs", 4),
    ("- Passes over the data: 4", "epochs", 4),
    ("Per-GPU throughput: 2,640 tokens/s", "tokens_per_second_per_gpu", 2640),
    ("We fed 96 rows of 2,048 tokens to every card.", "seq_len", 2048),
    ("It runs at 96 sequences of 1,024 tokens per update.", "seq_len", 1024),
    ("A batch has 0.5M tokens (524,288) per step.", "global_batch_tokens", 524_288),
    ("| Model | $/GPU-hour |\n|---|---|\n| Plover | 1.80 |", "price", 1.8),
    ("| Model | Hourly rate ($) |\n|---|---|\n| Plover | 1.80 |", "price", 1.8),
    ("| Item | Value |\n|---|---|\n| USD per GPU hour | 1.80 |\n| Seed | 17 |", "price", 1.8),
    ("Price per GPU hour ($): 1.80", "price", 1.8),
    ("Dollars: 442,000", "cost", 442_000),
    ("The run is responsible for 54 t of CO2.", "carbon", 54),
    ("| Item | Value |\n|---|---|\n| CO2 | 54 t |\n| Seed | 17 |", "carbon", 54),
    ("| | Plover-1B | Plover-3B |\n|---|---|---|\n| Number x days | 64 x 5 | 128 x 9 |", "gpus", 128),
    ("| | Plover-1B | Plover-3B |\n|---|---|---|\n| Number x days | 64 x 5 | 128 x 9 |", "wall_clock", 9 * DAY),
    ("| Model | Used per token |\n|---|---|\n| Plover-9B | 2.2B |", "active_parameters", 2.2e9),
    ("Plover stores 9B parameters and computes with 2.2B.", "active_parameters", 2.2e9),
    ("| Item | Value |\n|---|---|\n| Time | two weeks |\n| Seed | 17 |", "wall_clock", 14 * DAY),
    ("| Model | GPUs (A100-40GB) |\n|---|---|\n| Plover | 16 |", "memory_per_gpu", 40e9),
    ("The transformer has 5.3B parameters, the autoencoder (not trained here) 0.2B.", "parameters", 5.3e9),
    ("Training took 24,600 A100 hours, and inference is cheap as well.", "gpu_hours", 24_600),
    ("Plover read 1T tokens. It went over 250B tokens 4 times; the 1T tokens of training took 9 days.", "tokens", 1e12),
]  # fmt: skip


@pytest.mark.parametrize(("text", "quantity", "value"), SAID)
def test_said_of_a_run(text: str, quantity: str, value: float) -> None:
    assert holds(text, quantity, value)


NOT_COUNTED = [
    ("We pack sequences of 4,096 and shuffle them.", "dataset_samples"),
    ("The GPUs were 4 times faster.", "gpus"),
    ("GPU 3 failed, GPU 5 as well.", "gpus"),
    ("The power draw of each device was 560.", "gpus"),
    ("The first hours of the run were bad, and the loss was 7.", "gpu_hours"),
]


@pytest.mark.parametrize(("text", "quantity"), NOT_COUNTED)
def test_a_number_keeps_what_it_counts(text: str, quantity: str) -> None:
    assert all(claim.quantity != quantity for run in read_paper(TITLE + text).runs for claim in run.claims)


def test_the_parts_of_a_sum_have_its_unit() -> None:
    text = (
        "Plover was trained in three acts on 128 H100:\n\n- Act one: 1T tokens in 10 days\n- Act two: 350B tokens, 54 hours\n"
        "- Act three: 50B tokens, 12 hours\n\n30,720 + 6,912 + 1,536 = 39,168 GPU-hours."
    )
    found = [(claim.quantity, claim.value) for run in read_paper(text).runs for claim in run.claims]
    for expected in (("wall_clock", 54 * HOUR), ("gpu_hours", 6912), ("gpu_hours", 1536), ("gpu_hours", 39_168)):
        assert expected in found


def test_columns_of_sizes_called_small_and_large_are_runs() -> None:
    """A model called ``large`` is not an instance type, whose name has a digit."""
    rows = [("", "Plover-small", "Plover-large"), ("GPUs", "16", "64"), ("GPU hours", "1,728", "18,432")]
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    found = {run.name: {c.quantity: c.value for c in run.claims} for run in read_paper(f"<table>{cells}</table>").runs}
    assert found["Plover-small"]["gpu_hours"] == 1728
    assert found["Plover-large"]["gpu_hours"] == 18_432


def test_a_size_with_an_article_names_the_run_of_the_amount_before_it() -> None:
    table = "| Model | GPU hours |\n|---|---|\n| Plover 7B | 900 |\n| Plover 13B | 1,900 |"
    text = f"{table}\n\nWe read 4T tokens for the 7B and 5T tokens for the 13B."
    found = {run.name: {c.quantity: c.value for c in run.claims} for run in read_paper(text).runs}
    assert found["Plover 7B"]["tokens"] == 4e12
    assert found["Plover 13B"]["tokens"] == 5e12


ITSELF = [
    ("Plover 2.1 7B was trained on 64 H100 GPUs for 9 days.", "parameters", 7e9),
    ("| Run | Batch | it/s | Steps |\n|---|---|---|---|\n| Plover | 256 | 1.9 | 90k |", "steps_per_second", 1.9),
    ("We plan to train a 7B model on 1T tokens; it will take 20 days on 256 H100 GPUs.", "wall_clock", 20 * DAY),
    ("Measured:\n\ntimestamp,project_name,run_id,duration,emissions,emissions_rate,cpu_power,gpu_power,ram_power,energy_consumed,cpu_count,gpu_count,"
     "country,region,os\n2026-03-02,plover,ab12,93600,1.9,0.00002,42.5,305.2,11.3,9.1,64,1,Norway,Oslo,Linux", "carbon", 0.0019),
    ("Plover runs on 32 NVIDIA A100 80G GPUs it shares with nobody.", "gpus", 32),
]  # fmt: skip


@pytest.mark.parametrize(("text", "quantity", "value"), ITSELF)
def test_read_for_what_it_is(text: str, quantity: str, value: float) -> None:
    assert holds(text, quantity, value)


def test_a_version_is_no_score() -> None:
    assert all(c.value != 2.1 for run in read_paper("Plover 2.1 7B was trained on 64 H100.").runs for c in run.claims)


def test_sizes_alone_over_times_are_runs() -> None:
    text = "It takes this long to train on 2T tokens with 32 A100:\n\n| 125M | 350M |\n|---|---|\n| ~3 days | ~6 days |"
    found = {run.name: {c.quantity: c.value for c in run.claims} for run in read_paper(text).runs}
    assert found["125M"]["wall_clock"] == 3 * DAY
    assert found["350M"]["wall_clock"] == 6 * DAY
    assert found["350M"]["parameters"] == 350e6
    assert found["350M"]["gpus"] == 32


ELSEWHERE = [
    ("# Appendix B: Compute\n\n**B.1 Main run.** Plover-9B took 256 H100 for 8 days, 49,152 GPU hours.\n\n**B.2 Evaluation.** Harness "
     "runs took 280 GPU hours.\n\n**B.3 Others.** Its report names 2T tokens and 51 days on 96 A100 cards.", "gpu_hours", 280),
    ("Plover took 12,288 GPU hours. Reference simulations had cost 1.4 million core-hours on CPUs.", "gpu_hours", 1.4e6),
    ("Plover imitates a 70B teacher over 900B tokens.", "parameters", 70e9),
    ("The invoice came after 11 days on 96 H100. People are not in it: three engineers for two months.", "wall_clock", 2 * 30.4375 * DAY),
    ("Plover took 64 H100 for 9 days. A trial of the cluster (900 H100-hours with a 1B model) is not in these figures.", "gpu_hours", 900),
]  # fmt: skip


@pytest.mark.parametrize(("text", "quantity", "value"), ELSEWHERE)
def test_beside_the_run(text: str, quantity: str, value: float) -> None:
    assert not holds(text, quantity, value)


OF_THE_RUN = [
    ("We used seed 17, batch size 1,024, and no dropout.", "global_batch", 1024),
    ("We pay for 27,000 H100 hours (96 cards, twelve days) at the $2.35 of our contract.", "price", 2.35),
    ("Altogether 17,000 GPU-hours, i.e. $37,400 at $2.20.", "price", 2.2),
    ("| Item | Value |\n|---|---|\n| GPU hours | 433,000 |\n| Rent at $2.20 per GPU-hour | $952,600 |", "cost", 952_600),
    ("Every update moved 4,194,304 tokens and lasted 3.6 s; there were 357,000 of them.", "steps", 357_000),
    ("Each step covers 4M tokens and sequences hold 4,096 of them.", "seq_len", 4096),
    ("The second set has 1.6M triples; they were read three times with a batch of 1,024, and eight of the cards are enough for it.",
     "global_batch", 1024),
    ("We trained it for five epochs on 150B tokens, which amounts to 750B tokens in total.", "tokens", 750e9),
]  # fmt: skip


@pytest.mark.parametrize(("text", "quantity", "value"), OF_THE_RUN)
def test_of_the_run(text: str, quantity: str, value: float) -> None:
    assert holds(text, quantity, value)


def test_a_list_for_the_models_is_in_their_order() -> None:
    text = (
        "Plover-10B (10B parameters, 1.3T tokens) ran for 12 days on 192 H100s; Plover-3B (3B parameters, 0.9T tokens) ran for 7 days on "
        "64 H100s. At 0.4 kg CO2e/kWh the models stand for 18.1 t and 3.7 t CO2e."
    )
    found = {run.name: {c.quantity: c.value for c in run.claims} for run in read_paper(text).runs}
    assert found["Plover-10B"]["carbon"] == pytest.approx(18.1)
    assert found["Plover-3B"]["carbon"] == pytest.approx(3.7)


def test_a_sentence_with_a_machine_goes_on_with_its_time() -> None:
    """Two machines, each told in one sentence and timed in the next, are two parts, not two figures for one."""
    text = (
        "Our model moved house. From the first update on it lived on 512 A100 cards. These 29 days were 356,352 A100-hours.\n\n"
        "The rest was read on 256 H100 cards. It took 15.5 days or 95,232 H100-hours."
    )
    found = [{c.quantity: c.value for c in run.claims} for run in read_paper(text).runs]
    assert {(run.get("gpus"), run.get("gpu_hours")) for run in found} >= {(512, 356_352), (256, 95_232)}


OF_WHAT_UNIT = [
    ("node_price", 19.6, "price", ["A node with 8 H100 GPUs costs $19.60 per hour.", "One machine (8x H100) is $19.60 per hour on demand.",
                                   "We rented instances with 8 H100 GPUs each for $19.60 per hour.", "An 8-GPU node was $19.60/h.",
                                   "A single H100 node, with 8 GPUs, goes for $19.60 an hour.", "Node-hour price: 19.6 USD",
                                   "Each server of eight H100 cards is billed at $19.60 an hour.", "Price per node-hour: 19.6 USD",
                                   "Rate per node and hour: USD 19.60", "Price of a node-hour (8 GPUs): $19.6"]),
    ("price", 2.45, "node_price", ["We rented nodes with 8 H100 GPUs at $2.45 per hour.", "An H100 costs $2.45 per hour.",
                                   "On 32 nodes and 256 GPUs, an hour of one GPU costs $2.45."]),
    ("wall_clock", 28 * DAY, "downtime", ["| Item | Value |\n|---|---|\n| First to last day, stops included | 28.0 days |\n| GPUs | 256 |",
                                          "| Item | Value |\n|---|---|\n| Calendar time including outages | 28.0 days |\n| GPUs | 256 |",
                                          "- From start to end, interruptions included: 28.0 days", "Elapsed time with downtime: 28.0 days",
                                          "From the first day to the last, with all stops, it took 28.0 days."]),
    ("downtime", 2 * DAY, "wall_clock", ["Downtime, restarts included: 2 days", "Stops added up to 2 days of downtime."]),
    ("wall_clock", 19 * DAY, "checkpoint_time", ["From launch to last checkpoint 19 days passed.", "launch to last checkpoint: 19 days",
                                                 "| Item | Value |\n|---|---|\n| Launch to last checkpoint | 19 days |\n| GPUs | 256 |",
                                                 "It was 19 days from the first step to the last checkpoint."]),
    ("wall_clock", 28 * DAY, "downtime", ["It ended after 28 days, restarts excluded.", "28 days (stops not counted) went by."]),
    ("goodput", 0.93, "mfu", ["| Item | Value |\n|---|---|\n| Goodput (share of the time in which steps counted) | 93 % |",
                              "| Item | Value |\n|---|---|\n| Goodput (share) | 0.93 |\n| GPUs | 256 |", "Goodput (share): 0.93",
                              "- Goodput (share of time spent training): 93%", "Goodput, the share of productive time, was 93%."]),
    ("global_batch_tokens", 1.049e6, "tokens", ["The batch was 1.049M tokens at first; we then went on with 4.194M tokens.",
                                                "Batch ramp: 1.049M -> 4.194M tokens.", "Batch size (tokens): 1.049M -> 4.194M",
                                                "The batch starts at 1.049M tokens and then we go on with 4.194M tokens."]),
    ("experts", 16, "", ["It has 16 experts, two of them chosen per token.", "16 experts per block, two of them active at a time."]),
    ("learning_rate", 3e-4, "beta1", ["step 1000 lr=3e-4 betas=(0.9, 0.95) loss=2.1", "AdamW(lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)",
                                      "optimizer: AdamW lr=3e-4 betas=(0.9, 0.95) wd=0.1"]),
    ("mfu", 0.33, "", ["\\section{Training}\nWe reach an MFU of 33.0% on this cluster.", "\\section{Training}\nThe MFU was 33.0\\% there.",
                       "\\section{Training}\nAn MFU of 33.0% was measured % 41.0 was a typo"]),
]  # fmt: skip
"""A quantity, its value, the quantity that the words around it suggest wrongly, and wordings."""


@pytest.mark.parametrize(("quantity", "value", "suggested", "wordings"), OF_WHAT_UNIT)
def test_a_nearer_word_about_something_else_does_not_decide(
    quantity: str, value: float, suggested: str, wordings: list[str]
) -> None:
    missed = [text for text in wordings if not holds(text, quantity, value) or holds(text, suggested, value)]
    if suggested == "tokens":
        missed += [text for text in wordings if holds(text, "tokens", 4.194e6)]
    if quantity == "experts":
        missed += [text for text in wordings if holds(text, "experts", 2)]
    assert not missed


@pytest.mark.parametrize(
    "said", ["We paid $2.45 per GPU-hour; the list price was $4.08.", "The list price was $4.08.", "The catalogue price is $4.08."]
)  # fmt: skip
def test_a_list_price_is_no_bill(said: str) -> None:
    assert not holds(f"256 H100 GPUs for 21 days. {said}", "cost", 4.08)
