"""How other figures, clauses and citations change the meaning of a figure, and non-English texts; all texts and figures are invented."""

from __future__ import annotations

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.claim import Document, Paper
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

HOUR, DAY = 3600.0, 86_400.0


def figures(document: Document) -> dict[str, float]:
    return {claim.quantity: claim.value for claim in document.claims}


def aside(paper: Paper) -> set[str]:
    return {claim.text for claim in (*paper.set_aside, *(c for run in paper.runs for c in run.set_aside))}


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("It was trained for 90K updates at 1.5M tokens.", "global_batch_tokens", 1.5e6),
        ("Training took 40,000 steps, 512 sequences of 1,024 tokens in each.", "global_batch", 512),
        ("We train with a quarter of a million tokens (262,144) in each step.", "global_batch_tokens", 262_144),
        ("The learning rate climbs to 2e-4 within 1,500 steps.", "warmup_steps", 1500),
        ("The rate is warmed up to 3 × 10−4 over 800 steps of training.", "warmup_steps", 800),
        ("The rate is warmed up to 3 × 10−4 over 800 steps of training.", "learning_rate", 3e-4),
        ("Its two image encoders (one for shapes, one for words, together 410M parameters) are kept.", "vision_parameters", 4.1e8),
        ("We count every kilowatt-hour with 240 g CO2e.", "carbon_intensity", 0.24),
        ("One card did 5,120 tokens/s.", "tokens_per_second_per_gpu", 5120),
        ("One step lasts 4.2 seconds in training.", "step_time", 4.2),
        ("The net has 9.1B parameters, of which a token meets 1.3B.", "active_parameters", 1.3e9),
        ("It has 30.0B total parameters, of which 3.1B are active per token.", "parameters", 3e10),
        ("Crawls give 640B tokens; we went through 410B tokens of them in training.", "dataset_tokens", 6.4e11),
        ("| Stage | s/step |\n|---|---|\n| all | 0.62 |", "step_time", 0.62),
        ("| Item | Amount |\n|---|---|\n| At $1.90 per GPU-hour | $19,000 |", "price", 1.9),
        ("Stops ate 12 hours: cards (7.5 h), upgrades (4.5 h, job 77). It was trained for 9 days.", "wall_clock", 9 * DAY),
        ("The batch holds 1538 contexts of 2048 tokens.", "global_batch", 1538),
        ("Training had 130 million trainable parameters.", "parameters", 1.3e8),
    ],
)  # fmt: skip
def test_the_figures_beside_it_say_what_a_figure_is(text: str, quantity: str, value: float) -> None:
    assert figures(read_paper(text).single).get(quantity) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "quantity", "value"),
    [
        ("We used 96 A100 GPUs on 12 nodes, plus 2 nodes in reserve, to train it.", "nodes", 12),
        ("The training emitted 12.5 tonnes of CO2, and this does not include the search.", "carbon", 12.5),
        ("Training emitted 21.5 tonnes of CO2, about half of what GPT-3 caused.", "carbon", 21.5),
        ("We reach an MFU of 41% against the card's peak of 312 TFLOP/s.", "peak_flops", 312e12),
        ("We trained on 64 A100 GPUs. Moss et al. (2021) report 9,000 GPU hours on 128 V100 GPUs.", "gpus", 64),
        ("Ours was trained on 2T tokens. The gap to our dense 3B baseline, which was trained on 1T tokens, is small.", "tokens", 2e12),
        ("We trained Wren-2-7B on 2T tokens with 256 H100 GPUs. Its predecessor was trained with 64 V100 GPUs.", "gpus", 256),
        ("We trained it on 16 GPUs and had exactly one node failure.", "gpus", 16),
        ("Each server has two AMD EPYC 7532 CPUs. We trained on 24 A100 GPUs.", "gpus", 24),
        ("We trained on 24 A100 GPUs. Had it been larger, it would have needed 96 A100 GPUs.", "gpus", 24),
        ("We trained on 24 A100 GPUs. The next version will take 960 A100 GPUs.", "gpus", 24),
    ],
)  # fmt: skip
def test_a_clause_a_citation_or_a_plan_takes_no_figure_from_the_run(text: str, quantity: str, value: float) -> None:
    assert figures(read_paper(text).single).get(quantity) == pytest.approx(value)
    assert "nodes" not in figures(read_paper(text).single) or quantity == "nodes"


def test_what_is_said_of_two_runs_in_one_breath_is_said_of_both() -> None:
    text = (
        "| Model | GPU-hours |\n|---|---|\n| Wren-7B | 82,000 |\n| Wren-13B | 135,000 |\n| Wren-33B | 530,000 |\n\n"
        "Wren-7B and Wren-13B read 1.0T tokens, Wren-33B 1.4T tokens."
    )
    runs = {run.name: figures(run).get("tokens") for run in read_paper(text).runs}
    assert runs == {"Wren-7B": 1e12, "Wren-13B": 1e12, "Wren-33B": 1.4e12}


def test_each_run_of_a_text_has_the_device_that_it_counts() -> None:
    text = (
        "We trained Tern-1B on 100B tokens with 64 A100 GPUs for 4 days. "
        "We trained Tern-9B on 900B tokens with 256 H100 GPUs for 20 days."
    )
    named = {run.name: run.fact("accelerator") for run in read_paper(text).runs}
    assert named == {"Tern-1B": "a100-sxm-80gb", "Tern-9B": "h100-sxm-80gb"}


def test_one_card_alone_holds_the_whole_batch() -> None:
    """Global batch 32 = 1 GPU x 4 samples x 8 micro-steps."""
    text = "We used one A100 GPU, a micro batch size of 4, gradient accumulation over 8 steps and a global batch size of 32."
    assert check_paper(read_paper(text)).verdict != "contradicted"


def test_figures_that_share_a_mistake_are_charged_though_they_agree_with_each_other() -> None:
    """8 x 40e9 x 500e9 = 1.6e23 FLOP; over 512 x 56.4 days that is 64.1 TFLOP/s, or 48.1 with 6ND."""
    text = (
        "The model has 40B parameters and read 500B tokens: 125,000 steps of 2,048 sequences of 1,953 tokens. Activations are recomputed. "
        "It ran on 512 A100 GPUs for 56.4 days, one step lasts 39.0 seconds, at 64.1 TFLOPs per GPU. Our total: 1.6e23 FLOPs."
    )
    paper = check_paper(read_paper(text))
    assert paper.verdict == "contradicted"
    assert {one.likely_causes[0].cause for one in paper.contradictions} <= {"8ND for 6ND", "HFU as MFU"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Nous avons entraîné le modèle sur 1,4 billion de tokens pendant 21 jours avec 256 GPU A100.", "French"),
        (
            "Das Modell wurde auf 256 A100-GPUs mit je 80 GB trainiert, das sind 129.024 GPU-Stunden für die Läufe.",
            "German",
        ),
        (
            "Entrenamos el modelo durante 21 días en 256 GPU A100, con un total de 129.024 horas de GPU por la red.",
            "Spanish",
        ),
        ("我们在256张A100上训练了模型，总计129024 GPU小时。", "Chinese"),
        ("モデルを256基のA100で21日間学習した。合計129,024 GPU時間。", "Japanese"),
    ],
)
def test_no_figure_of_another_language_is_given_a_meaning(text: str, language: str) -> None:
    paper = read_paper(text)
    assert not [claim for run in paper.runs for claim in run.claims]
    assert paper.not_understood
    assert all(language in one.reason for one in paper.not_understood)


@pytest.mark.parametrize("run", ["1,", "1-", "12 ", "3.", "1x"])
def test_a_long_run_of_digits_is_read_and_every_claim_quoted_shortly(run: str) -> None:
    paper = read_paper("We trained on " + run * 3000 + "tokens with 8 GPUs.")
    assert all(len(one.quote) < 400 for one in paper.not_understood)


def test_a_text_of_figures_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuhours.questions.checking.reading.sentences.prose.MOST_FIGURES", 5)
    with pytest.raises(EstimateError, match="has 6 figures"):
        read_paper("8 GPUs. " * 6, "p.txt")
