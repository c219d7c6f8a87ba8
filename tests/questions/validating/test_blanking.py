"""Rows of which less is said: their range is wider by what it may have been."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.questions.validating.blanking import BESIDES, EACH, FACTS, blanked, is_open, without
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.learning import Sample, learn
from gpuhours.questions.validating.prediction import predict
from gpuhours.questions.validating.report import Judged, judge
from gpuhours.questions.validating.rows import Row, measured_rows
from gpuhours.run.conformal import Curve
from gpuhours.run.novelty import Traits
from gpuhours.step.left_open import VALUES

STATED = Row(
    {
        "id": "x", "seq_len": "4096", "global_batch": "256", "micro_batch": "1", "accelerator": "h100-sxm-80gb", "gpus": "64", "tp": "1",
        "pp": "1", "model_name": "Llama 3 8B", "software": "fsdp2-eager", "year": "2025", "dtype": "bf16", "sharding": "zero3",
        "attention_kind": "flash2", "recompute_kind": "selective", "network": "infiniband", "step_time_s": "10",
    },
    2,
)  # fmt: skip


def judged(row: Row) -> Judged:
    case = case_of(row)
    assert isinstance(case, Case), case
    return judge(row, case, predict([case])[0])


def test_each_fact_has_values_and_columns() -> None:
    assert set(VALUES) == set(FACTS)
    assert not set(FACTS) & set(BESIDES)


def test_a_stated_fact_is_closed_and_a_blank_one_open() -> None:
    assert not is_open(STATED, "recompute")
    assert is_open(without(STATED, ["recompute"]), "recompute")
    assert judged(STATED).left_open == (1.0, 1.0)


@pytest.mark.parametrize("fact", ["recompute", "network", "precision"])
def test_a_row_that_says_less_has_a_wider_range_around_the_same_step(fact: str) -> None:
    whole, less = judged(STATED), judged(without(STATED, [fact]))
    assert less.predicted == pytest.approx(whole.predicted)
    assert whole.low
    assert whole.high
    assert less.low
    assert less.high
    assert less.high / less.low > 1.03 * whole.high / whole.low


def test_blanked_rows_are_as_many_of_every_system_and_the_same_each_time() -> None:
    rows = [replace(row, line=at) for at, row in enumerate(measured_rows()) if row.word("source_title") in TITLES]
    found, again = list(blanked(rows)), list(blanked(rows))
    assert found == again
    assert len(found) == EACH * len(TITLES)
    stated = sum(row.word("recompute_kind") is not None for row in found) / len(found)
    assert 0.3 < stated < 0.7


TITLES = ("Zero Bubble pipeline parallelism", "InternEvo training performance")


def test_the_range_of_rows_that_say_less_is_learned_on_blanked_ones() -> None:
    """Rows that say all are off by 5 %; blanked ones also by what they leave open, whose 10th and 90th percentile the model sees: covered
    as intended, without widening the range of the others."""
    random = np.random.default_rng(3)
    traits = Traits("stack", "h100-sxm-80gb", "hopper", "bf16", "dense", 8, 8192)

    def sample(number: int, open_to: float) -> Sample:
        own = random.normal(0, 0.05) + random.normal(0, open_to / 1.2816)
        return Sample(f"s{number}", traits, 5.0, own, left_open=(float(np.exp(-open_to)), float(np.exp(open_to))))

    rows = [sample(number, 0.0) for number in range(16) for _ in range(20)]
    less = [sample(number, 0.4) for number in range(16) for _ in range(20)]
    alone, both = learn(rows), learn(rows, blanked=less)
    assert (alone["left_open"], alone["blanked"]) == (0.0, None)
    assert 0.5 < both["left_open"] < 1.5
    assert both["blanked"]["rows"] == pytest.approx(0.8, abs=0.08)
    assert both["coverage"] == alone["coverage"]
    curve = Curve(**both["all"] | {"coefficients": tuple(both["all"]["coefficients"])})
    new = (0.0,) * len(both["features"])
    assert curve.limits(new, left_open=(1.0, 1.5))[1] > 1.2 * curve.limits(new)[1]
