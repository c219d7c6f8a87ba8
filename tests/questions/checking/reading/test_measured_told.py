"""Kinds of wording: step times, prices after hours, others' cards, tools, spare machines; all texts are our own."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from tests.read_texts import one

HOUR = 3600.0


def runs(text: str) -> dict[str, dict[str, float]]:
    return {run.name: {claim.quantity: claim.value for claim in run.claims} for run in read_paper(text).runs}


AGO = [
    "kestrel commented 2 days ago",
    "posted by kestrel 3 weeks ago",
    "The answer is 5 months old.",
    "Asked 14 hours ago by kestrel.",
    "This thread is two years old.",
    "Last edited three days ago.",
    "We opened this issue 6 weeks ago.",
    "The fix landed eleven days ago.",
    "The release was four months ago.",
    "A reply, 9 days old, says the same.",
]


@pytest.mark.parametrize("said", AGO)
def test_how_long_ago_is_no_duration(said: str) -> None:
    found = one(f"We train Tern-7B on 64 A100 for 1,200 steps of 18.5 s.\n\n{said}")
    assert found["gpus"] == 64
    assert "wall_clock" not in found


LASTS = [
    "Sampling is most of an update, which lasts 210 s on average.",
    "An update lasts 210 s.",
    "Each iteration then took about 210 seconds.",
    "Every step takes roughly 210 s.",
    "Half of a step, which takes 210 s, is spent on generation.",
    "One update thus needed 210 s.",
    "A single iteration takes 210 s.",
    "The cards wait in each step, which lasted 210 s.",
    "That is a third of an iteration that takes us 210 s.",
    "We need 210 s per update.",
    "We need 210 s an update.",
]


@pytest.mark.parametrize("said", LASTS)
def test_what_a_step_lasts(said: str) -> None:
    found = one(f"Policy training of Dunlin-7B ran for 1,500 updates on 64 H800 GPUs. {said}")
    assert found["step_time"] == 210
    assert "wall_clock" not in found


PRICED = [
    "That is 20,000 GPU hours, and we paid $1.90 for each, so $38,000.",
    "That is 20,000 GPU hours at $1.90 each, $38,000 together.",
    "The 20,000 GPU hours were bought for $1.90 apiece, $38,000 in all.",
    "We used 20,000 GPU hours; at the $1.90 that our provider asks, the bill is $38,000.",
    "We used 20,000 GPU hours. At the $1.90 the provider charges, this is $38,000.",
    "All 20,000 GPU hours, $1.90 for each of them, come to $38,000.",
    "The run took 20,000 GPU hours at $1.90 per hour, $38,000.",
    "For its 20,000 GPU hours, $1.90 for every one, we spent $38,000.",
]


@pytest.mark.parametrize("said", PRICED)
def test_a_price_behind_hours(said: str) -> None:
    found = one(f"Tern-7B was trained on 128 A100 GPUs. {said}")
    assert (found["price"], found["cost"], found["gpu_hours"]) == (1.9, 38_000, 20_000)


KILO = ["Cost (k$)", "Cost (k USD)", "Cost (thousand $)", "Cost ($k)", "Cost (thousands of dollars)", "Bill [k$]"]


@pytest.mark.parametrize("header", KILO)
def test_money_in_thousands(header: str) -> None:
    table = f"| Model | GPUs | Days | {header} |\n|---|---|---|---|\n| Tern-2B | 128 | 5.5 | 35.5 |\n| Tern-7B | 256 | 11.5 | 148.4 |"
    assert [run["cost"] for run in runs(table).values()] == pytest.approx([35_500, 148_400])


EMITTED = [
    "a megawatt-hour came with 0.088 tCO2e",
    "each MWh means 88 kg CO2e",
    "every MWh emits 88 kg of CO2e",
    "one megawatt-hour caused 88 kg CO2e",
    "every kilowatt-hour comes with 88 g CO2e",
    "a kWh emits 88 g of CO2e",
    "each kilowatt-hour means 0.088 kg CO2e",
    "the grid emits 88 g CO2e per kWh",
    "the grid emits 88 kg CO2e per MWh",
]


@pytest.mark.parametrize("said", EMITTED)
def test_what_one_unit_of_energy_emits(said: str) -> None:
    found = one(f"Training Tern-7B on 64 A100 GPUs used 213 MWh. At the site {said}, hence 18.7 net tCO2e.")
    assert found["carbon_intensity"] == pytest.approx(0.088)
    assert found["carbon"] == pytest.approx(18.7)


TOOLS = [
    "Captions were rewritten by a 13B model.",
    "The clips were captioned with a 13B VLM.",
    "Pages were filtered with a 13B classifier model.",
    "Answers were scored by a 13B judge model.",
    "We labelled the pictures with a 13B vision-language model.",
    "Captioning the clips with a 13B model took 900 hours on L40S cards.",
    "Translating the captions with a frozen 13B model took three weeks.",
    "All documents were ranked by a 13B model beforehand.",
    "The recordings were transcribed using a 13B model.",
    "Annotating the pages via a separate 13B model came first.",
]


@pytest.mark.parametrize("said", TOOLS)
@pytest.mark.parametrize("first", [True, False])
def test_the_size_of_a_tool(said: str, first: bool) -> None:
    run = "The network has 2.8B parameters and was trained on 64 H100 GPUs for 8 days."
    found = one(f"{said} {run}" if first else f"{run} {said}")
    assert (found["parameters"], found["wall_clock"]) == (2.8e9, 8 * 24 * HOUR)


RESERVE = [
    "* 384 A100 80GB GPUs (48 nodes)\n* Additional 32 A100 80GB GPUs (4 nodes) in reserve",
    "* 384 A100 GPUs (48 nodes)\n* 32 further A100 GPUs (4 nodes) held back",
    "* 384 A100 GPUs in 48 nodes\n* 32 spare A100 GPUs (4 nodes)",
    "* 384 A100 GPUs in 48 nodes, with 4 nodes in reserve",
]


@pytest.mark.parametrize("machine", RESERVE)
def test_machines_in_reserve(machine: str) -> None:
    found = one(
        f"# Whimbrel\n\nWhimbrel has 176B parameters.\n\n{machine}\n* CPU: AMD, 512GB memory per node\n* trained for 118 days"
    )
    assert (found["gpus"], found["nodes"]) == (384, 48)
    assert found.get("memory_per_gpu", 8e10) == 8e10


MEASURES = [
    "Results comparable to GPT-3 come from 1,024 H100 GPUs in 574 hours.",
    "With quality similar to GPT-3, 1,024 H100 GPUs ran for 574 hours.",
    "On par with GPT-3, it took 1,024 H100 GPUs and 574 hours.",
    "Quality close to GPT-3 took 574 hours of training on 1,024 H100 GPUs.",
    "A model competitive with GPT-3 was trained for 574 hours on 1,024 H100 GPUs.",
    "Accuracy equal to GPT-3 is reached on 1,024 H100 GPUs in 574 hours of training.",
]


@pytest.mark.parametrize("said", MEASURES)
def test_a_name_that_something_is_measured_by(said: str) -> None:
    found = one(f"The network has 96B parameters. {said}")
    assert (found["gpus"], found["wall_clock"]) == (1024, 574 * HOUR)


CARDS = [
    "Everybody knows the 150,000 A100 hours on the Stable Diffusion card.",
    "We had read of the 150,000 A100 hours in the Stable Diffusion paper.",
    "People quote the 150,000 A100 hours from the Stable Diffusion report.",
    "There are 150,000 A100 hours in the Midjourney post, $615,000 at list price. We do not have $615,000.",
]


@pytest.mark.parametrize("said", CARDS)
def test_what_another_card_says(said: str) -> None:
    found = one(f"{said}\n\nOur network has 1.1B parameters. The run took 128 A100 GPUs, 19,968 GPU hours and $37,939.")
    assert (found["gpu_hours"], found["cost"]) == (19_968, 37_939)


ELSEWHERE = [
    "The 1558M model is discussed in #677: 24 hours on 8 H100 GPUs, $672.",
    "The 1558M model is described in a separate note: 24 hours on 8 H100 GPUs.",
    "Our 1558M model has its own page, 24 hours on 8 H100 GPUs.",
    "The larger 1558M model is tracked in #12, with 24 hours on 8 H100 GPUs.",
]


@pytest.mark.parametrize("said", ELSEWHERE)
def test_what_is_told_elsewhere(said: str) -> None:
    found = one(f"The network has 124M parameters. On 16 A100 GPUs it trains for 94 minutes.\n\n{said}")
    assert (found["parameters"], found["gpus"], found["wall_clock"]) == (124e6, 16, 94 * 60)


BATCHES = [
    ("saw 300k batches of 2,048 pictures", 2048),
    ("read 300,000 batches of 2,048 images", 2048),
    ("was shown 300k minibatches of 2,048 clips", 2048),
    ("went through 300k batches with 2,048 samples", 2048),
]


@pytest.mark.parametrize(("said", "batch"), BATCHES)
def test_batches_of_so_many_are_steps(said: str, batch: float) -> None:
    found = one(f"The model with 1.1B parameters {said} on 128 A100 GPUs, 1.87 seconds a batch.")
    assert (found["steps"], found["global_batch"], found["step_time"]) == (300_000, batch, 1.87)


EACH = [
    "In each, 256 prompts are drawn.",
    "In each of them 256 prompts are drawn.",
    "In each of these, 256 prompts are used.",
    "At each, 256 questions are answered.",
    "For each, 256 problems are drawn from the pool.",
]


@pytest.mark.parametrize("said", EACH)
def test_what_each_of_so_many_steps_takes(said: str) -> None:
    assert one(f"We train Dunlin-7B on 64 GPUs for 1,500 updates. {said}")["global_batch"] == 256


def test_a_second_rate_behind_what_the_first_is_for() -> None:
    text = r"""\paragraph{Stage I.} 128 H100 GPUs for 3 days, 120k steps.

\paragraph{Stage II.} 256 H100 GPUs for 6 days, 30k steps.

The learning rate is $1\times10^{-4}$ in stage I and $2\times10^{-5}$ in stage II."""
    assert [run["learning_rate"] for run in runs(text).values()] == [1e-4, 2e-5]


@pytest.mark.parametrize(
    "said", ["6h10m.", "6h 10m.", "6h10m", "6 h 10 min", "6 hours and 10 minutes", "370 minutes", "0d 6h 10m."]
)
def test_hours_and_minutes_at_the_end_of_a_sentence(said: str) -> None:
    assert one(f"Tern-7B on 8 A100 GPUs: the 1,200 steps finished in {said}")["wall_clock"] == 22_200


COMPARED = [
    "Compared with Knot-2, which reports 50% of the steps on a 32B model, our curve saturates early.",
    "Compared to Knot-2, who needed 900 GPUs on a 32B model, ours is small.",
    "Unlike Knot-2, which has 32B parameters, our policy is small.",
]


@pytest.mark.parametrize("said", COMPARED)
def test_a_relative_clause_behind_who_is_compared(said: str) -> None:
    found = one(f"We train a policy with 7.6B parameters on 64 H800 GPUs for 87.5 hours. {said}")
    assert (found["parameters"], found["gpus"]) == (7.6e9, 64)


SOME = [
    "on 64 of the cards",
    "on 64 of these",
    "using 64 of the GPUs",
    "with 64 of our cards",
    "over 64 of the accelerators",
]


@pytest.mark.parametrize("said", SOME)
def test_some_of_the_devices_are_not_the_machine(said: str) -> None:
    found = one(f"Tern-7B was trained on 128 A100s for six days with a batch of 2,048. Then came 20k steps {said}.")
    assert (found["gpus"], found["global_batch"]) == (128, 2048)


WAITED = [
    "No such machine? Take a batch of 4 on a single RTX 3090 and wait 60 hours.",
    "On one RTX 3090 the same would last 60 hours.",
    "A single RTX 3090 would finish in 60 hours.",
    "With one RTX 3090, expect to wait 60 hours.",
    "One RTX 3090 would run for 60 hours.",
]


@pytest.mark.parametrize("said", WAITED)
def test_what_another_machine_would_take(said: str) -> None:
    found = one(f"{said}\n\nThe network has 124M parameters and was trained on 8 A100 GPUs for 94 minutes.")
    assert (found["gpus"], found["wall_clock"]) == (8, 94 * 60)


def test_node_hours_of_modules_of_two_dies() -> None:
    """13.4B x 1T tokens on 512 MI250X in 19 days are 25 % of 383 TFLOP/s; only the hours (128 nodes x 19 days x 24) are wrong."""
    text = (
        "Godwit-13B (13.4B parameters) was trained on 1.0T tokens on 128 nodes with four MI250X each, 512 MI250X in total, "
        "over 19 days. This amounts to {} GPU-hours. Model FLOPs utilization was about 25%."
    )
    assert check_paper(read_paper(text.format("233,472"))).verdict == "consistent"
    (charge,) = check_paper(read_paper(text.format("58,368"))).runs[0].contradictions
    assert (charge.claims[0], charge.likely_causes[0].cause) == ("gpu_hours", "nodes for GPUs")
