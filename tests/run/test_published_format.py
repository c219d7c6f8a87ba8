"""The number format of a run that states none: that of the named model's published training, if it trains from scratch on such a card."""

import pytest

import gpuhours

DEEPSEEK = {"model": "deepseek-v3", "data.tokens": "14.8T", "hardware.gpus": 2048, "year": 2024}


def _format(**keys: object) -> str:
    found = gpuhours.estimate(gpuhours.from_dict({}, "test", settings=DEEPSEEK | keys))
    return found.outcome.resolved.precision.dtype


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"hardware.accelerator": "h800-sxm-80gb"}, "fp8"),
        ({"hardware.accelerator": "h800-sxm-80gb", "training.dtype": "bf16"}, "bf16"),
        ({"hardware.accelerator": "a100-sxm-80gb"}, "bf16"),  # has no FP8
        ({"hardware.accelerator": "h800-sxm-80gb", "data.tokens": "2B"}, "bf16"),  # a tuning: trainers' format
        ({"hardware.accelerator": "h800-sxm-80gb", "model": "llama-3-8b"}, "bf16"),
    ],
)
def test_format_of_the_published_training(keys: dict[str, object], expected: str) -> None:
    """Its README says that DeepSeek-V3 was trained in FP8; a stated format, another card and a tuning keep theirs."""
    assert _format(**keys) == expected


def test_the_assumption_says_where_the_format_is_from() -> None:
    """The list of assumptions names the format and why it is assumed."""
    run = gpuhours.from_dict({}, "test", settings=DEEPSEEK | {"hardware.accelerator": "h800-sxm-80gb"})
    said = {one.name: one for one in gpuhours.estimate(run).assumptions}
    assert said["training.dtype"].value == "fp8"
    assert "published training" in said["training.dtype"].reason
