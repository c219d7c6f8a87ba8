"""Two energies related by a PUE, lines of an invoice, GPU-hours stated after their factors: invented texts, hand calculations."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

METERS = (
    "Dunlin-7B was trained on 128 H100 GPUs for 100 hours, 12,800 GPU-hours. The meters of the racks read 9.6 MWh, 750 W for every "
    "GPU. With a PUE of 1.25 the site drew {}."
)


@pytest.mark.parametrize(("drawn", "verdict"), [("12 MWh", "consistent"), ("12 GWh", "contradicted")])
def test_energy_before_and_behind_the_losses(drawn: str, verdict: str) -> None:
    check = check_paper(read_paper(METERS.format(drawn)))
    assert check.verdict == verdict
    if verdict == "contradicted":
        charge = check.runs[0].contradictions[0]
        assert {"energy", "it_energy"} <= set(charge.claims)
        assert charge.arithmetic == "9.6 MWh x 1.25 = 12 MWh; the text says energy 12,000 MWh"


INVOICE = """Invoice 0815

Item                                          Quantity            Rate        Total
-----------------------------------------------------------------------------------
8x A100 80GB nodes, reserved                  1,500 node-hours    $12.00      $18,000.00
Block storage, 40 TB                          1 month             -           $3,200.00
-----------------------------------------------------------------------------------
TOTAL                                                                         $21,200.00

The first line is the run of Dunlin-7B: 12,000 GPU-hours, {} per GPU-hour.
"""


@pytest.mark.parametrize(("price", "verdict"), [("$1.50", "consistent"), ("$12.00", "contradicted")])
def test_lines_of_an_invoice(price: str, verdict: str) -> None:
    paper = read_paper(INVOICE.format(price))
    (run,) = paper.runs
    assert {c.quantity: c.value for c in run.claims}["cost"] == 18_000
    asides = {claim.value: claim.scope for claim in (*paper.set_aside, *run.set_aside)}
    assert asides[3200] == "another line of the bill"
    assert asides[21_200] == "the whole bill"
    check = check_paper(paper)
    assert check.verdict == verdict
    if verdict == "contradicted":
        assert check.runs[0].contradictions[0].arithmetic.startswith("12,000 GPU-hours x 12 USD = 144,000 USD")


def test_gpu_hours_said_behind_their_factors() -> None:
    text = (
        "Dunlin-7B trained on 16 A100s for 30 hours. Dunlin-13B trained on 32 A100s for 50 hours.\n\n"
        "So that is 16 x 30 = 480 GPU-hours for one and 32 x 50 = 1,600 GPU-hours for the other."
    )
    runs = {run.name: run.claim("gpu_hours") for run in read_paper(text).runs if run.kind == "own"}
    assert {name: claim and claim.value for name, claim in runs.items()} == {"Dunlin-7B": 480, "Dunlin-13B": 1600}
