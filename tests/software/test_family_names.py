"""A stack named by its family alone: its step may be further off than that of a run that names its own stack."""

from __future__ import annotations

from dataclasses import replace

import pytest

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating.case import Case, case_of
from gpuhours.questions.validating.rows import Row, measured_rows
from gpuhours.run.band import step_limits
from gpuhours.run.resolve import resolve
from gpuhours.software.matching import StatedStack, is_family, match, software_named, table
from gpuhours.software.profile import load_software

RUN = {
    "model": "llama-3-8b", "data.tokens": "1T", "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 64, "layout.tensor": 1,
    "layout.pipeline": 1, "layout.microbatch": 1, "layout.sharding": "zero3", "layout.recompute": "none",
}  # fmt: skip


@pytest.mark.parametrize("family", table().families)
def test_a_release_or_another_word_says_more_than_the_family(family: str) -> None:
    assert match(StatedStack(stated=family.title())).family_alone
    assert match(StatedStack(described=family)).family_alone
    assert not match(StatedStack(stated=family, release="24.09")).family_alone
    assert not match(StatedStack(stated=family, described=f"{family} with its own words")).family_alone
    profile = match(StatedStack(stated=family)).profile
    assert profile in family or not is_family(profile)


def case(row: Row, **cells: str) -> Case:
    found = case_of(replace(row, cells={**row.cells, **cells}))
    assert isinstance(found, Case), found
    return found


def test_a_row_that_names_its_family_counts_as_one_of_an_unmeasured_stack_but_is_not_slowed() -> None:
    row = next(
        row for row in measured_rows() if row.word("software") == "megatron-core" and isinstance(case_of(row), Case)
    )
    said = {"framework": "", "release": "", "year": "2025"}
    own, family = case(row, software="megatron-core", **said), case(row, software="NeMo", **said)
    assert family.software.name == own.software.name
    assert (own.traits.stands_in, own.traits.stack_said) == (False, True)
    assert (family.traits.stands_in, family.traits.stack_said) == (True, False)
    assert family.software.unmeasured_factor == own.software.unmeasured_factor


def test_the_range_of_an_estimates_step_is_wider() -> None:
    family, own = (
        resolve(gpuhours.from_dict({}, settings={**RUN, "software": name})) for name in ("fsdp", "fsdp2-eager")
    )
    assert family.software.name == "fsdp2-eager"
    (low, high), (lower, higher) = step_limits(own, 5.0), step_limits(family, 5.0)
    assert lower < low < 1 < high < higher


@pytest.mark.parametrize(
    ("name", "profile"),
    [
        ("Megatron", "megatron-lm"), ("NVIDIA Megatron-LM", "megatron-lm"), ("Megatron-LM core 0.9", "megatron-lm"),
        ("Lightning Fabric", "torch-trainer"), ("lit-gpt", "torch-trainer"), ("Diffusers", "huggingface"),
        ("OpenRLHF", "huggingface-deepspeed"),
        ("DeepSpeed-MoE", "deepspeed"), ("Meta Lingua", "fsdp-compile"), ("OneTrainer", "huggingface"), ("slime", "megatron-core"),
        ("PyTorch2", "torch-eager"), ("NeMo2", "megatron-core"), ("Axolotl-AI", "huggingface-trainer"),
    ],
)  # fmt: skip
def test_a_name_as_people_say_it_is_no_misspelling(name: str, profile: str) -> None:
    assert load_software(software_named(name)[0]).name == profile


@pytest.mark.parametrize(
    "name", ["megatron-cor", "deepspede", "nanotrn", "torchtitn", "maxtxt", "litgtp", "megatrn", "megatorn"]
)
def test_a_slip_is_still_refused_with_a_suggestion(name: str) -> None:
    with pytest.raises(EstimateError, match="Did you mean"):
        software_named(name)


def test_a_version_that_is_no_release_says_no_more_than_the_family() -> None:
    assert all(map(is_family, ("PyTorch 2.3", "NeMo 2.0", "jax 0.4.30", "NVIDIA NeMo")))
    assert not any(map(is_family, ("NeMo 24.07", "Megatron-Core 0.9", "PyTorch 2.3 compiled", "maxtext")))
