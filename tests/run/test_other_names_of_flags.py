"""Inputs that new users type: a number attached to a card, the name of a hub, an amount with a currency sign."""

from __future__ import annotations

import re

import pytest

from gpuhours import from_dict
from gpuhours.architecture.catalogue import named
from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import UnitError, parse
from gpuhours.run.ensemble import FACTS
from gpuhours.run.flags import ELSEWHERE, OTHER_NAMES, SHORTCUTS, key_of
from gpuhours.run.shortcuts import run_of
from tests.conftest import Command


@pytest.mark.parametrize(
    ("said", "gpus", "card"),
    [
        ("2x RTX 4090", 2, "rtx-4090"), ("8xH100 SXM", 8, "h100-sxm-80gb"), ("16 × B200", 16, "b200-sxm"), ("4x4090", 4, "rtx-4090"),
        ("4090", None, "rtx-4090"), ("64xmi300x", 64, "mi300x"),
    ],
)  # fmt: skip
def test_a_number_before_a_card_is_how_many(said: str, gpus: int | None, card: str) -> None:
    found = run_of(None, {"params": "7B", "gpu": said})
    assert found.hardware.gpus == gpus
    assert load_accelerator(str(found.hardware.accelerator)).name == card


def test_two_numbers_of_gpus_and_a_number_of_instances_are_refused() -> None:
    with pytest.raises(EstimateError, match="2 of them, --gpus 4"):
        run_of(None, {"params": "7B", "gpu": "2x RTX 4090", "gpus": "4"})
    with pytest.raises(EstimateError, match="instance of 8"):
        run_of(None, {"params": "7B", "gpu": "2x p5.48xlarge"})
    assert run_of(None, {"params": "7B", "gpu": "2x RTX 4090", "gpus": "2"}).hardware.gpus == 2


@pytest.mark.parametrize(
    ("hub", "name"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"), ("meta-llama/Llama-2-70b-chat-hf", "llama-2-70b"),
        ("meta-llama/Meta-Llama-3-8B", "llama-3-8b"), ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"), ("Qwen/Qwen3-8B-Base", "qwen3-8b"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b"), ("google/gemma-2-9b-it", "gemma-2-9b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"), ("EleutherAI/pythia-1.4b-deduped", "pythia-1.4b"),
        ("microsoft/Phi-3-mini-4k-instruct", "phi-3-mini"), ("openai/gpt-oss-20b", "gpt-oss-20b"), ("ViT-L/14", "vit-l-14"),
        ("llama3-8b", "llama-3-8b"), ("qwen2.5-7b-instruct", "qwen2.5-7b"), ("gemma2-9b-it", "gemma-2-9b"), ("Wan2.1-14B", "wan-2.1-14b"),
        ("google/flan-t5-xl", "t5-v1.1-xl"), ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "qwen2.5-7b"), ("gpt-2", "gpt2"),
        ("openai/whisper-large-v3", "whisper-large-v3"), ("google-bert/bert-large-uncased", "bert-large"),
        ("deit-small", "vit-s-16-classifier"), ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("mistralai/Devstral-Small-2507", "mistral-small-24b"), ("Magistral", "mistral-small-24b"),
        ("ViT-L/16", "vit-l-16-classifier"), ("stable-diffusion-3-medium", "sd-3-medium"),
        ("black-forest-labs/FLUX.1-Kontext-dev", "flux.1-dev"), ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", "wan-2.1-14b"),
        ("Wan-AI/Wan2.2-TI2V-5B", "wan-2.2-5b"), ("Lightricks/LTX-Video", "ltx-video-2b"), ("zai-org/GLM-4.6", "glm-4.5"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen3-30b-a3b"), ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-v3.2"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl-7b"), ("OpenGVLab/InternVL2_5-8B", "internvl2.5-8b"),
        ("OpenGVLab/InternVL3-8B-hf", "internvl3-8b"), ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "smolvlm-500m"),
        ("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava-onevision-7b"), ("google/paligemma2-3b-pt-224", "paligemma-2-3b"),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama-3.2-11b-vision"),
    ],
)  # fmt: skip
def test_a_hubs_name_is_the_model_it_was_made_of(hub: str, name: str) -> None:
    assert named(hub).name == name


@pytest.mark.parametrize("name", ["sdxl", "stable-diffusion-xl", "resnet-50", "stable-diffusion-v1-5"])
def test_a_model_of_convolutions_is_told_as_that(name: str) -> None:
    with pytest.raises(EstimateError, match="convolutions"):
        named(name)


def test_a_family_of_one_size_needs_no_size() -> None:
    """A family of several sizes is reported with its sizes, and a name without a close match gets no suggestion."""
    assert named("mistral-nemo").name == "mistral-nemo-12b"
    with pytest.raises(EstimateError, match=r"There are llama-3-70b, llama-3-8b"):
        named("llama-3")
    with pytest.raises(EstimateError) as unknown:
        named("gpt-4")
    assert "Did you mean" not in unknown.value.hint


@pytest.mark.parametrize(
    "hub",
    [
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
        "someone/llama-3.1-8b-pruned",
        "someone/unheard-of-7b",
        "mistralai/Devstral-2512",
        "devstral-2512",
        "wan2.2-14b-i2v",
        "Wan-AI/Wan2.2-14B-S2V",
    ],
)
def test_another_shape_is_not_taken_for_it(hub: str) -> None:
    """The distilled 1.5B has a separate head, whereas Qwen2.5's is tied. Devstral 2 of December 2025 is not the small one; Wan 2.2 from a
    picture or a voice has more inputs than from text."""
    with pytest.raises(EstimateError, match=r"config\.json works"):
        named(hub)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("$5M", "USD", 5e6),
        ("US$ 50k", "USD", 5e4),
        ("$2.50/hour", "USD/hour", 2.5),
        ("$1,200,000", "USD", 1.2e6),
        ("5M USD", "USD", 5e6),
    ],
)
def test_a_dollar_sign_stands_before_its_number(text: str, unit: str, value: float) -> None:
    assert parse(text, unit) == pytest.approx(value)


@pytest.mark.parametrize("text", ["$", "$M", "5M$x", "$$5", "5 $ USD"])
def test_a_sign_without_a_number_is_none(text: str) -> None:
    with pytest.raises(UnitError):
        parse(text, "USD")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (("--params", "7B", "--tokens", "1T"), "--gpu"),
        (("--params", "7B", "--gpu", "h100-sxm", "--gpus", "8", "--samples", "50k"), "--epochs"),
        (("--params", "7B", "--gpu", "h100-sxm", "--gpus", "8"), "--tokens"),
    ],
)  # fmt: skip
def test_what_leaves_gpu_hours_open_is_said_first(
    gpuhours_command: Command, given: tuple[str, ...], wanted: str
) -> None:
    ran = gpuhours_command("estimate", *given)
    assert ran.code == 0
    (line,) = (line for line in ran.out.splitlines() if line.startswith("Say first"))
    assert line.split()[2].rstrip(":,") == wanted


def test_a_budget_is_answered_in_money_in_one_line(gpuhours_command: Command) -> None:
    ran = gpuhours_command(
        "estimate", "--params", "7B", "--tokens", "1T", "--gpu", "64x H100 SXM", "--budget", "$100k", "--quiet"
    )
    assert ran.code == 1
    assert "USD" in ran.out
    assert "unlikely to be within 100 k USD (" in ran.out
    assert "done by" not in ran.out, "no deadline was asked for"


def test_each_other_name_of_an_option_has_one_meaning() -> None:
    names = [name for others in OTHER_NAMES.values() for name in others]
    assert len(names) == len(set(names))
    assert not set(names) & (SHORTCUTS.keys() | ELSEWHERE.keys())
    assert not ELSEWHERE.keys() & SHORTCUTS.keys()
    assert OTHER_NAMES.keys() <= SHORTCUTS.keys()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("--dtype fp8", "--precision fp8"), ("--global-batch-size 64", "--batch 64"), ("--gbs=64", "--batch=64"), ("--tp 2", "--tensor 2"),
        ("--seq_length 2048", "--seq-len 2048"), ("--per-device-train-batch-size 2", "--microbatch 2"),
    ],
)  # fmt: skip
def test_what_people_call_an_option_is_read_as_it(gpuhours_command: Command, said: str, meant: str) -> None:
    asked = ("estimate", "--model", "llama-3.2-1b", "--gpu", "h100-sxm", "--gpus", "8", "--tokens", "1B", "--quiet")
    first, second = (gpuhours_command(*asked, *words.split()) for words in (said, meant))
    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert run_of(None, {"params": "7B", "global_batch_size": "64"}).training.global_batch == 64
    assert key_of("global-batch-size") == "training.global_batch"


@pytest.mark.parametrize("one", ["--batch", "--gbs"])
def test_two_names_of_one_option_are_refused(gpuhours_command: Command, one: str) -> None:
    """Two values of one name are no contradiction: the last one wins, as in other programs."""
    asked = ("estimate", "--model", "llama-3.2-1b", "--gpu", "h100-sxm", "--gpus", "8", "--tokens", "1B", "--quiet")
    ran = gpuhours_command(*asked, one, "64", "--global-batch-size=512")
    assert ran.code == 2
    assert ran.err.startswith(f"error: Both {one} and --global-batch-size are given.")
    assert gpuhours_command(*asked, one, "64", one, "512").out == gpuhours_command(*asked, "--batch", "512").out
    with pytest.raises(EstimateError, match=f"Both {one} and --global-batch-size are given"):
        run_of(None, {"params": "7B", one.removeprefix("--"): "64", "global_batch_size": "512"})


@pytest.mark.parametrize(
    "said",
    [
        "nodes", "lr", "grad-accum", "gradient-checkpointing", "zero", "dp", "bf16", "hours", "batch-size", "bs", "train-batch-size",
        "max-length", "max-seq-length", "cutoff-len", "max-samples", "price-per-hour", "rank", "mixed-precision", "backend", "region",
        "date", "size", "dataset-size", "packing", "dropout",
    ],
)  # fmt: skip
def test_what_is_said_in_another_way_is_told_how(gpuhours_command: Command, said: str) -> None:
    ran = gpuhours_command("estimate", "--params", "7B", f"--{said}", "2")
    assert ran.code == 2
    assert ran.err.startswith(f"error: --{said}\n  No such option.\n  ")
    with pytest.raises(EstimateError, match="No shortcut"):
        run_of(None, {"params": "7B", said.replace("-", "_"): "2"})


def test_options_named_in_hints_exist(gpuhours_command: Command) -> None:
    known = gpuhours_command("estimate", "--help").out
    named_in = {word for text in (*ELSEWHERE.values(), *FACTS.values()) for word in re.findall(r"--[a-z-]+", text)}
    assert len(named_in) > 15
    assert {word for word in named_in if word not in known} == set()


def test_keys_named_in_hints_exist() -> None:
    named_in = {tuple(found) for text in ELSEWHERE.values() for found in re.findall(r"--set ([\w.]+)=(\w+)", text)}
    assert len(named_in) > 3
    for key, value in named_in - {("hardware.node", "NODE")}:
        run = from_dict({"model": "llama-2-7b", "data": {"tokens": "1T"}}, settings={key: value})
        assert str(run.value(key)).lower() == value


@pytest.mark.parametrize("said", [one for one in FACTS.values() if one.startswith("--set")])
def test_what_is_to_be_said_first_can_be_typed(said: str) -> None:
    key, value = said.split()[1].split("=")
    data = {"frames": 8, "text_tokens": 64} if key.startswith(("data", "input")) else {"tokens": "1T"}
    assert from_dict({"model": "llama-2-7b", "data": data}, settings={key: value}).value(key) is not None
