"""Matching of a stack's words to a profile: an example for every line, the order of the rules, and profiles no generic name may reach."""

from __future__ import annotations

from collections import Counter

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.validating.case import Case
from gpuhours.questions.validating.described import read_described
from gpuhours.questions.validating.rows import Row, described_runs
from gpuhours.questions.validating.words import software_of
from gpuhours.run.resolve import resolve
from gpuhours.run.spec import from_dict
from gpuhours.software.matching import (
    Aged,
    MatchingRule,
    StatedStack,
    is_unknown,
    match,
    profile_in,
    release_of,
    software_named,
    table,
)
from gpuhours.software.profile import list_software, load_software
from tests.published import in_sample

GENERIC = (
    "Megatron", "Megatron-LM", "Megatron-DeepSpeed", "Megatron-LM + DeepSpeed", "Megatron-Core", "NeMo", "DeepSpeed", "DeepSpeed ZeRO-3",
    "PyTorch", "PyTorch DDP", "FSDP", "PyTorch FSDP2", "torchtitan", "torch.compile", "Hugging Face Transformers", "accelerate",
    "JAX", "MaxText", "TensorFlow", "flash attention", "ring attention", "LLaMA-Factory", "TRL", "PaddlePaddle", "in-house",
)  # fmt: skip
NARROW = (
    "internevo",
    "burstengine",
    "longvila",
    "nemo-2023",
    "zero-bubble",
    "llama-3",
    "paxml",
    "distflashattn",
    "nanotron",
    "bigscience",
)


@pytest.mark.parametrize("line", table().lines, ids=lambda line: f"{line.profile}: {line.example}")
def test_every_line_reads_its_example(line: MatchingRule) -> None:
    """No earlier line matches the example."""
    text = line.example.lower()
    first = next(one for one in table().lines if one.reads(text, line.year or _said(text), release_of(text)))
    assert first is line
    assert line.profile in list_software()


@pytest.mark.parametrize("rule", table().aged, ids=lambda rule: f"{rule.profile} -> {rule.take}")
def test_every_rule_of_age_is_reached(rule: Aged) -> None:
    release = rule.since or (rule.before - 0.01 if rule.before else None)
    before = next(
        one for one in table().aged if one.profile == rule.profile and one.holds(rule.until or rule.from_year, release)
    )
    assert before is rule
    assert {rule.profile, rule.take} <= set(list_software())


def _said(text: str) -> int | None:
    return next((year for year in range(2017, 2030) if str(year) in text), None)


@pytest.mark.parametrize("words", GENERIC)
@pytest.mark.parametrize("year", [None, 2019, 2021, 2022, 2023, 2024, 2025, 2026])
def test_a_generic_name_reaches_no_system_of_one_source(words: str, year: int | None) -> None:
    for stack in (
        StatedStack(stated=words, year=year),
        StatedStack(described=words, year=year),
        StatedStack("megatron-core", words, "", year),
    ):
        assert match(stack).profile not in NARROW


@pytest.mark.parametrize("name", NARROW)
def test_a_system_answers_to_its_own_name(name: str) -> None:
    assert match(StatedStack(stated=name)).profile == name
    assert match(StatedStack(stated=name.replace("-", " ").upper())).profile == name


@pytest.mark.parametrize(
    ("stack", "profile"),
    [
        (StatedStack("megatron-2022", "Megatron-DeepSpeed (BigScience fork)"), "bigscience"),
        (StatedStack("megatron-2022", "Megatron-DeepSpeed"), "megatron-deepspeed"),
        (StatedStack("megatron-core", "torchtitan"), "megatron-core"),
        (StatedStack("deepspeed", "Megatron-LM + something"), "deepspeed"),
        (StatedStack("distflashattn", "Megatron-LM", "", 2024), "megatron-lm"),
        (StatedStack("distflashattn", "DISTFLASHATTN with HF checkpointing"), "distflashattn"),
        (StatedStack("fsdp-compile", "torchtitan (April 2024) FSDP2"), "fsdp2-eager"),
        (StatedStack("fsdp-compile", "torchtitan FSDP2 torch.compile vanilla TP"), "fsdp-compile"),
        (StatedStack("torchtitan"), "fsdp2-eager"), (StatedStack("torchtitan, compiled"), "fsdp-compile"),
        (StatedStack("", "torchtitan, no torch.compile"), "fsdp2-eager"),
        (StatedStack("megatron-core", "Megatron-Bridge", "26.06.01"), "megatron-core-2026"),
        (StatedStack("megatron-core", "Megatron-Bridge", "26.04.01"), "megatron-core"),
        (StatedStack("megatron-core", "", "", 2024), "megatron-core-2024"),
        (StatedStack("megatron-core", "", "24.03"), "megatron-core-early"),
        (StatedStack("megatron-core", "", "25.04.02"), "megatron-core-2024"), (StatedStack("megatron-core", "", "", 2021), "megatron-2022"),
        (StatedStack("", "Megatron-Core r0.8.0", "", 2024), "megatron-core-2024"),
        (StatedStack("torch-eager", "", "", 2021), "torch-2022"), (StatedStack("torch-eager", "", "", 2024), "torch-eager"),
        (StatedStack("", "NeMo AutoModel", "", 2026), "nemo-automodel"),
        (StatedStack("trl", "DeepSpeed", "", 2025), "huggingface-deepspeed"),
        (StatedStack("huggingface", "4.51, FSDP"), "huggingface-fsdp2"),
        (StatedStack("deepspeed", "Hugging Face transformers, DeepSpeed", "", 2025), "huggingface-deepspeed"),
        (StatedStack("deepspeed", "", "", 2025, "sharded", mixture=True), "huggingface-deepspeed"),
        (StatedStack("deepspeed", "", "", 2025, "split", mixture=True), "deepspeed"),
    ],
)  # fmt: skip
def test_what_is_stated_wins_and_words_refine_its_class(stack: StatedStack, profile: str) -> None:
    assert match(stack).profile == profile


@pytest.mark.parametrize(
    ("text", "release"),
    [("mid-2026", 26.06), ("26.06.01", 26.06), ("June 2026", 26.06), ("2026-06", 26.06), ("NeMo 24.03.01", 24.03), ("v25.11", 25.11),
     ("Megatron-Core r0.8.0", 24.07), ("mcore 0.12", 25.04), ("late 2025", 25.11), ("2021", None), ("torch 2.11", None), ("", None)],
)  # fmt: skip
def test_a_release_is_one_however_it_is_written(text: str, release: float | None) -> None:
    assert release_of(text) == release


def test_a_stack_nobody_knows_is_the_middle_of_its_year_and_says_so() -> None:
    found = match(StatedStack("abacus", "our own trainer", "", 2025, "split"))
    assert found.profile == match(StatedStack(year=2025, layout="split")).profile == "megatron-lm"
    assert "unknown" in found.remark
    assert "abacus" in found.remark
    assert match(StatedStack("", "", "", 2021, "split")).profile == "megatron-2022"
    assert match(StatedStack("", "", "", 2026, "sharded", expert_ranks=True)).profile == "megatron-core"
    assert match(StatedStack("", "", "", 2021, "sharded", expert_ranks=True)).profile == "deepspeed"
    assert match(StatedStack(year=2025, adapters="text")).profile == "huggingface-trainer"
    assert match(StatedStack(year=2025, adapters="text", layout="split")).profile == "megatron-lm"
    assert match(StatedStack(year=2021, adapters="images")).profile == "torch-2022"


def test_a_name_of_nobody_s_is_an_error_and_a_system_s_is_read() -> None:
    assert software_named("MaxText (JAX)")[0] == "jax"
    assert "read as" in software_named("MaxText (JAX)")[1]
    assert software_named("megatron-core") == ("megatron-core", "")
    assert software_named("MegaScale")[0] == "megatron-core"


def test_a_name_that_nothing_reads_is_unknown_and_a_slip_of_the_pen_an_error() -> None:
    assert is_unknown("SomethingNew")
    for known in ("deepspeed", "mindspeed", "mine.yaml"):
        assert not is_unknown(known)
    for slip in ("megatron-coer", "deepspeeed"):
        with pytest.raises(EstimateError, match="Did you mean"):
            is_unknown(slip)
    assert profile_in("") is None


@pytest.fixture(scope="module")
def measured() -> dict[str, Counter[str]]:
    """Steps that are judged, by profile and source."""
    found: dict[str, Counter[str]] = {name: Counter() for name in list_software()}
    for one in in_sample().judged:
        row = one.row
        if isinstance(one.case, Case) and one.predicted and row.seconds and not row.doubted and not row.failed:
            found[one.case.software.name][row.word("source_title") or ""] += 1
    for run in (run for path in described_runs() for run in read_described(path)):
        if run.row.number("step_time_s"):
            found[run.software.name][run.row.word("source_title") or ""] += 1
    return found


@pytest.mark.parametrize("name", list_software())
def test_profiles_say_where_they_were_measured(name: str, measured: dict[str, Counter[str]]) -> None:
    """``measured_on`` equals the content of the published tables."""
    assert {one.source: one.steps for one in load_software(name).measured_on} == dict(measured[name])


def test_transformers_loops_over_experts_before_2026() -> None:
    for name in ("huggingface", "huggingface-fsdp2", "huggingface-trainer"):
        experts = {year: load_software(name).of_year(year).host.kernels for year in (2024, 2026, None)}
        assert {year: one.experts for year, one in experts.items() if one} == {
            2024: "looped",
            2026: "grouped",
            None: "grouped",
        }
    assert load_software("torch-eager").of_year(2020) is load_software("torch-eager")


def test_the_narrow_ones_say_so() -> None:
    assert {name for name in list_software() if load_software(name).single_system} == {
        *NARROW,
        "nemo-automodel",
        "nanotron-early",
    }
    assert all(
        len(load_software(name).measured_on) < 2 for name in NARROW if name not in ("internevo", "paxml")
    )  # both of one system


@pytest.mark.parametrize(
    ("stack", "kin"),
    [
        (StatedStack("", "PaddlePaddle Fleet"), True), (StatedStack("", "MegaScale"), True), (StatedStack("", "Colossal-AI Gemini"), True),
        (StatedStack("abacus", "our own trainer", "", 2025), True), (StatedStack("megatron-core", "MegaScale"), True),
        (StatedStack("", "Megatron-LM 2025"), False), (StatedStack("nanotron"), False), (StatedStack("", "MaxText (JAX) recipe"), False),
    ],
)  # fmt: skip
def test_a_profile_stands_in_for_stacks_that_nobody_measured(stack: StatedStack, kin: bool) -> None:
    assert match(stack).stands_in is kin


@pytest.mark.parametrize(
    ("name", "year", "kernel"),
    [("internevo", 2024, "flash1"), ("internevo", 2025, "flash2"), ("internevo", None, "flash2")],
)
def test_flash_attention_without_a_version_is_not_the_first_for_long(name: str, year: int | None, kernel: str) -> None:
    assert load_software(name).flash_kernel(year) == kernel


@pytest.mark.parametrize(
    ("words", "year", "profile"),
    [
        ("trl", 2026, "huggingface-trl"), ("trl", 2025, "huggingface-trainer"), ("accelerate fsdp", 2025, "huggingface-fsdp2"),
        ("timm", 2021, "torch-2022"), ("open_clip", 2024, "torch-trainer"), ("diffusers", 2025, "huggingface"),
        ("PyTorch FSDP2", 2026, "fsdp2-today"), ("PyTorch FSDP2", 2025, "fsdp2-eager"), ("MLPerf", 2024, "megatron-core-2024"),
        ("Megatron-LM 175B team's fork", 2021, "megatron-2022"),
    ],
)  # fmt: skip
def test_an_estimate_and_a_measured_row_read_a_name_of_their_year_alike(words: str, year: int, profile: str) -> None:
    """Neither `trl` nor `accelerate fsdp` was read by its year in an estimate, and `diffusers` was refused."""
    run = {
        "model": "llama-3-8b", "data": {"tokens": "1B", "seq_len": 2048}, "software": words, "year": year,
        "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 8},
    }  # fmt: skip
    assert resolve(from_dict(run)).software.name == profile
    assert software_of(Row({"framework": words, "year": str(year)}, 2))[0].name == profile
