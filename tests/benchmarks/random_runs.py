"""Random valid runs with every kind of model, card, stack, layout and bill, as the mappings of a run file.

Runs are drawn until one can be evaluated, so that a law never fails because a run is refused.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from gpuhours.architecture import catalogue
from gpuhours.hardware import kernel_constants
from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.inputs.errors import EstimateError
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.spec import from_dict
from gpuhours.software.profile import list_software

Description = dict[str, Any]
POWERS = tuple(2**power for power in range(11))
USUAL_CARDS = (
    "a100-sxm-80gb",
    "h100-sxm-80gb",
    "h200-sxm-141gb",
    "v100-sxm-32gb",
    "b200-sxm",
    "gb200",
    "l40s",
    "h800-sxm-80gb",
)
USUAL_STACKS = ("megatron-core", "megatron-lm", "fsdp-compile", "deepspeed", "huggingface-trainer", "torch-compile")
FREE_TEXT = (
    "clip-",
    "siglip-",
    "vit-",
    "mae-",
    "videomae-",
    "dit-",
    "pixart-",
    "wan-",
    "internvit-",
    "t5-",
    "longvila-",
    "llava-",
)
"""Prefixes of the names of models that read more than text, or are not decoders."""

MIXTURES = ("mixtral-8x7b", "mixtral-8x22b", "deepseek-v3", "qwen3-30b-a3b", "deepseek-moe-16b", "dbrx-132b", "grok-1")


@cache
def decoders() -> tuple[str, ...]:
    """Return the catalogue models that read text only."""
    return tuple(name for name in catalogue.names() if not name.startswith(FREE_TEXT))


@cache
def others() -> tuple[str, ...]:
    """Return the other catalogue models, such as those that read images or pairs."""
    return tuple(name for name in catalogue.names() if name.startswith(FREE_TEXT))


@cache
def cards() -> tuple[str, ...]:
    """Return the accelerators whose step times can be predicted."""
    return tuple(name for name in list_accelerators() if kernel_constants.is_known(load_accelerator(name).generation))


def random_run(rng: random.Random) -> tuple[Description, Outcome]:
    """Return a random run whose step and memory can be predicted and whose stack, layout and goodput are stated, and its outcome."""
    while True:
        described = drawn(rng)
        try:
            outcome = evaluate(from_dict(described))
        except EstimateError:
            continue
        if outcome.step is not None and outcome.memory is not None and bool(outcome.step.valid):
            return described, outcome


def drawn(rng: random.Random) -> Description:
    """Draw a run with everything stated; it may not be able to run."""
    model, data = rng.choices((text, moving, seen, shaped, adapted), (10, 4, 3, 3, 2))[0](rng)
    gpus, layout = _layout(rng)
    if isinstance(model, str) and model in MIXTURES and rng.random() < 0.7:
        layout["expert"] = rng.choice((2, 4, 8))
    ranks = gpus // (layout["tensor"] * layout["pipeline"] * layout["context"])
    share = rng.choice((1, 2, 3, 4, 8, 16, 64))
    described: Description = {
        "model": model,
        "data": data | _length(rng, data),
        "training": {"global_batch": ranks * layout["microbatch"] * share, "dtype": rng.choice(("bf16", "bf16", "fp16", "fp8"))},
        "hardware": {"accelerator": rng.choice(rng.choice((USUAL_CARDS, cards()))), "gpus": gpus},
        "layout": layout,
        "software": rng.choice(rng.choice((USUAL_STACKS, tuple(list_software())))),
        "known": {"goodput": rng.choice((0.6, 0.9, 1.0))},
        "cost": _cost(rng),
    }  # fmt: skip
    if rng.random() < 0.3:
        described["training"]["state"] = rng.choice(("mixed", "amp", "pure"))
    if rng.random() < 0.2:
        described["training"]["optimizer"] = rng.choice(("adamw", "adamw-8bit", "muon", "sgd", "lion", "adafactor"))
    if rng.random() < 0.2:
        described["hardware"]["internode_bandwidth"] = rng.choice(("25 Gbit/s", "100 Gbit/s", "50 GB/s"))
    return described


def _length(rng: random.Random, data: Mapping[str, Any]) -> Description:
    """Draw the amount of training data."""
    if "frames" in data or rng.random() < 0.2:
        return {"dataset_samples": float(rng.choice((1e5, 3e6, 1.5e8))), "epochs": rng.choice((1, 2, 10))}
    return {"tokens": float(rng.choice((1e8, 2e9, 3e11, 1.5e13)))}


def _cost(rng: random.Random) -> Description:
    found: Description = {"country": rng.choice(("France", "United States", "India")), "year": rng.choice((2022, 2024))}
    return found | ({"price": f"{rng.choice((0.5, 2, 9.25))} USD/hour"} if rng.random() < 0.7 else {})


def _layout(rng: random.Random) -> tuple[int, Description]:
    gpus = rng.choice(POWERS) * rng.choice((1, 1, 1, 1, 3))
    divisors = [power for power in POWERS if gpus % power == 0]
    tensor = rng.choice([degree for degree in divisors if degree <= 8])
    pipeline = rng.choice(
        [degree for degree in divisors if degree * tensor <= gpus and degree <= 16] if rng.random() < 0.6 else [1]
    )
    context = rng.choice([degree for degree in divisors if degree * tensor * pipeline <= gpus and degree <= 8]
                         if rng.random() < 0.2 else [1])  # fmt: skip
    found: Description = {
        "tensor": tensor, "pipeline": pipeline, "context": context, "microbatch": rng.choice((1, 1, 2, 4, 8)),
        "sharding": rng.choice(("none", "zero1", "zero2", "zero3")), "recompute": rng.choice(("none", "selective", "full")),
    }  # fmt: skip
    chances: tuple[tuple[float, Mapping[str, Callable[[], Any]]], ...] = (
        (0.15 if pipeline > 1 else 0.0, {"interleave": lambda: rng.choice((2, 4))}),
        (0.15 if context > 1 else 0.0, {"sequence_method": lambda: rng.choice(("all-gather", "ring", "ulysses"))}),
        (0.1, {"offload_optimizer": lambda: True}),
        (0.1, {"sequence_parallel": lambda: False}),
        (0.1, {"loss_blocks": lambda: rng.choice((2, 8))}),
        (0.1, {"expandable_segments": lambda: True}),
        (0.1 if found["recompute"] == "full" else 0.0, {"recompute_layers": lambda: rng.choice((1, 4))}),
        (0.1, {"vision": lambda: "replicated"}),
    )
    for chance, field in chances:
        if rng.random() < chance:
            found |= {name: value() for name, value in field.items()}
    return gpus, found


def text(rng: random.Random) -> tuple[Any, Description]:
    """Draw a catalogue model on text."""
    return rng.choice(MIXTURES if rng.random() < 0.2 else decoders()), {
        "seq_len": rng.choice((512, 1024, 2048, 4096, 8192, 32768))
    }


def seen(rng: random.Random) -> tuple[Any, Description]:
    """Draw a catalogue model on images, clips or pairs."""
    return rng.choice(others()), {"frames": rng.choice((1, 8, 16)), "text_tokens": rng.choice((64, 256))}


def moving(rng: random.Random) -> tuple[Any, Description]:
    """Draw a vision-language model composed of encoder, bridge and language model."""
    vision: Description = {"name": rng.choice(("vit-l-14", "siglip-so400m-14-384", "vit-bigg-14", "clip-l-14-336"))}
    if rng.random() < 0.6:
        vision["trainable"] = "frozen"
    language: Any = rng.choice(decoders()) if rng.random() < 0.7 else {"params": rng.choice(("1B", "13B", "29.7B"))}
    bridge = rng.choice((
        {"kind": "mlp"}, {"kind": "mlp", "downsample": 2}, {"kind": "resampler", "queries": 64},
        {"kind": "cross-attention", "every": 4, "resampler": {"queries": 64}},
    ))  # fmt: skip
    model = {"vision": vision, "bridge": bridge, "language": language}
    return model, {"frames": rng.choice((1, 4, 16, 64)), "text_tokens": rng.choice((64, 512, 2048))}


def shaped(rng: random.Random) -> tuple[Any, Description]:
    """Draw a decoder given by its shape (including few layers and unusual widths) or only by its parameters."""
    if rng.random() < 0.3:
        return {"params": rng.choice(("125M", "3B", "30B", "70B"))}, {"seq_len": rng.choice((1024, 4096))}
    heads = rng.choice((4, 8, 16, 40))
    model: Description = {
        "layers": rng.choice((1, 2, 8, 24, 61)), "hidden": heads * rng.choice((64, 80, 128)), "heads": heads,
        "vocab": rng.choice((1000, 32000, 128256)),
    }  # fmt: skip
    if rng.random() < 0.4:
        model["kv_heads"] = rng.choice((1, heads // 4, heads))
    return model, {"seq_len": rng.choice((128, 2048, 16384))}


def adapted(rng: random.Random) -> tuple[Any, Description]:
    """Draw a catalogue model with adapters."""
    model = {"name": rng.choice(decoders()), "trainable": "lora", "rank": rng.choice((8, 64))}
    return model, {"seq_len": rng.choice((512, 4096))}


def said(described: Mapping[str, Any], *settings: tuple[str, Any]) -> Description:
    """Return a copy with some dotted keys set; the value None removes a key."""
    found = copy.deepcopy(dict(described))
    for key, value in settings:
        *parents, last = key.split(".")
        here = found
        for part in parents:
            here = here.setdefault(part, {})
        if value is None:
            here.pop(last, None)
        else:
            here[last] = value
    return found
