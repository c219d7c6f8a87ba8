"""Ways to break the valid inputs of each surface; ``fuzz`` tries the results."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import yaml

from gpuhours.architecture import catalogue
from gpuhours.inputs.yaml_files import read_yaml_text
from tests.benchmarks.valid_inputs import Seed

NUMBERS = [
    "0", "-1", "1e308", "1e-308", "1e999", "nan", "inf", "-inf", ".inf", "9223372036854775808", "0x1F", "1_000", "2 pixel", "3 s/0",
    "true", "~", "[]", "{}", "''", "1e30", "5e-324", "0.5", "１２", "1.8M", "2:30", "0o17", "1e3 parsec", "!!int x", "*a", "'\\u202e'",
    "[1, 2]", "{a: b}", "1e12", "1e9", "1e18", "-0.0", "100 s/0", "1 GPU-hours-days", "1.0eO308", "2**31", "1e30s/0",
    "9" * 400, "x" * 300,
    "0B B", "1.2.3", "1,2,3", "127", "false", "2020-99-99", "1:2", "GPU*hour", "3 %", "400 %", "@", "% x", "null", "!!binary x", "1e-9",
]  # fmt: skip
SIGNS = [
    "\u202e", "\x1b[31m", "\x00", "\u2028", "\ufeff", "[bold]", "[/]", "=1+1", "\r", "<b>", "${x}", "`", "\\", "|",
    '"', "\t", "\x0c", "\x85",
    "\u200b", "é", "𝟙𝟚", "ﬁ", "'", "{", "[", ": ", "- ", "#", "\n", "%", "</params>", "<training>", "\x7f", "\x9b31m",
    "{{", "$$", "\\frac{",
]  # fmt: skip
PHRASES = [
    " 1e308 days ", " infinite GPUs ", " 1.5e400 tokens ", " 10 to 1000000 GPUs ", " 10 to 1.2.3 GPUs ", " $0 ", " inf seq ", " 0 GPUs ",
    " 1ee23 FLOPs ", " between 5 and 2 days ", " 5e-324 days ", " 8x8x-.inf ", " -3 % MFU ", " 0.0 % MFU ",
    " 1/0 epochs ", " 999,999,999,999,999 ",
    " about 1e40 FLOPs ", " ½ day ", " 3.5 ± 0.2 days ", " twelve dozen GPUs ", " 10^400 tokens ", " 10^{23} FLOPs ", " 1 × 10²³ FLOPs ",
    " 0 W ", " 0 kWh ", " PUE of 0 ", " 100 GPUs × 0 hours ", " <gpu_count>64</gpu_count> ", " 0GPU-GPU-GPU ",
    " 7 GPU days per GPU hour ",
    " NaN ", " ab. abb. abbr. " * 40, " (" * 200, " 1, 2, 3, 4, 5, 6, 7, 8, 9, " * 30,
]  # fmt: skip
"""Words to insert into a text."""
WORDS = [
    "", "-", "--json", "--set", "-o", "9" * 400, "a" * 5000, "\u202e", "\x1b[31m", "[bold]", "nan", "1e999", "-1", "0",
    "/dev/null", "empty",
    "model=", "hardware.gpus=1e99", "layout.tensor=[1,2]", "x=y", "=", "{", "h100-sxm-80gb", "llama-3-8b", "1T", "40%",
    "\udc80", "--quiet",
    "--explain", "1..100000", "1..0", "4..64:0", "--gpus", "assumptions=2USD/hour", "stages=3", "known.days=1e-300", "inf", "data=0",
]  # fmt: skip
"""Replacements for a word of a command line."""
KEYS = [
    "model.params", "model.layers", "model.hidden", "model.experts", "model", "data", "data.tokens", "data.seq_len", "data.text_tokens",
    "data.frames", "data.fps", "data.resolution", "data.samples", "data.epochs", "data.steps", "data.padding", "training.global_batch",
    "training.dtype", "training.state", "training.optimizer", "hardware.gpus", "hardware.node", "hardware.network", "hardware",
    "hardware.internode_bandwidth", "layout", "layout.tensor", "layout.pipeline", "layout.interleave",
    "layout.microbatch", "layout.vision",
    "layout.stage_layers", "layout.recompute_layers", "layout.sharding", "software", "year", "operation.failures", "operation",
    "known.mfu", "known.days", "known.gpu_hours", "known.goodput", "known.step_time", "cost.price", "cost.country",
    "cost.pue", "cost.capex",
    "cost.storage", "cost.year", "input.decoder", "input.stored_fps", "input.cores_per_gpu", "input.storage_bandwidth", "assumptions",
    "stages", "site", "name", "input.sample_bytes", "cost.embodied", "cost.owned", "operation.checkpoint_steps", "training.convention",
]  # fmt: skip


def hostile(seed: Seed, surface: str, rng: random.Random) -> Seed:
    """Return the input with one to four defects in its file or in its command line."""
    arguments, content = seed.arguments, seed.content
    if surface == "settings":
        for _ in range(rng.randint(1, 2)):
            arguments = (*arguments, "--set", f"{rng.choice(KEYS)}={rng.choice(NUMBERS)}")
        return Seed(arguments, seed.name, content)
    if surface == "words" or rng.random() < 0.1:
        for _ in range(rng.randint(1, 2)):
            arguments = misspoken(arguments, rng)
    if surface == "words" and rng.random() < 0.3:
        arguments = tuple(rng.choice(catalogue.names()) if word == "llama-3-8b" else word for word in arguments)
    for _ in range(rng.randint(1, 4) if content else 0):
        breaks = (
            (*BREAKS, _phrase, _phrase) if seed.prose else (*BREAKS, _shape) if seed.name.endswith("yaml") else BREAKS
        )
        content = rng.choice(breaks)(content, rng)
    return Seed(arguments, seed.name, content)


def misspoken(arguments: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    """Return the command line with a word replaced, duplicated, removed, or inserted after the command."""
    found = list(arguments)
    place = rng.randrange(1, len(found) + 1)
    many = [[], [rng.choice(WORDS)], [rng.choice(NUMBERS)], [rng.choice(WORDS), rng.choice(WORDS)]]
    found[place : place + rng.randint(0, 1)] = rng.choice(many)
    return tuple(found)


def _number(content: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\d[\d.,]*", content))
    if not found:
        return content
    place = rng.choice(found)
    return content[: place.start()] + rng.choice(NUMBERS) + content[place.end() :]


def _value(content: str, rng: random.Random) -> str:
    lines = content.split("\n")
    place = rng.randrange(len(lines))
    lines[place] = re.sub(r":.*", lambda _: f": {rng.choice(NUMBERS)}", lines[place], count=1)
    return "\n".join(lines)


def _cell(content: str, rng: random.Random) -> str:
    found = list(re.finditer(r"(?<=[,:\[{]) ?[^,:\[\]{}\n]*(?=[,\]}\n])", content))
    if not found:
        return content
    place = rng.choice(found)
    return content[: place.start()] + rng.choice(NUMBERS) + content[place.end() :]


def _line(content: str, rng: random.Random) -> str:
    lines = content.split("\n")
    place = rng.randrange(len(lines))
    lines[place : place + 1] = rng.choice([[], [lines[place]] * 2, [lines[place] + lines[place]]])
    return "\n".join(lines)


def _sign(content: str, rng: random.Random) -> str:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(SIGNS) + content[place:]


def _swap(content: str, rng: random.Random) -> str:
    if len(content) < 4:
        return content
    start, end = sorted(rng.sample(range(len(content)), 2))
    other = rng.randrange(len(content))
    return content[:other] + content[start : min(end, start + 40)] + content[other:]


def _phrase(content: str, rng: random.Random) -> str:
    place = rng.choice([match.start() for match in re.finditer(r"\s|$", content)])
    return content[:place] + rng.choice(PHRASES) + content[place:]


def _shape(content: str, rng: random.Random) -> str:
    """Replace a value of the file by one of another type, keeping valid YAML: a list for a mapping, a word for a number."""
    try:
        data = read_yaml_text(content, "r.yaml").data
    except Exception:
        return content
    if not isinstance(data, dict):
        return content
    places = []
    queue = [data]
    while queue:
        here = queue.pop()
        for key in here if isinstance(here, dict) else range(len(here)):
            places.append((here, key))
            if isinstance(here[key], dict | list):
                queue.append(here[key])
    if not places:
        return content
    where, key = rng.choice(places)
    value = where[key]
    other = rng.choice((0, -1, True, None, [], {}, [value], {"value": value}, {"kind": value}, "", "a\u202eb", "9" * 30, 1e30, 1e-30,
                        str(value),                         [0, 0], {"a": 1, "b": [2]}, 127, "x" * 300, 2**63, 1.5, {1: 2}))  # fmt: skip
    if isinstance(where, dict) and rng.random() < 0.2:
        where[rng.choice((True, 5, "x", "\u202e", "kind", "name"))] = where.pop(key)
    else:
        where[key] = other
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


BREAKS: tuple[Callable[[str, random.Random], str], ...] = (_number, _number, _value, _cell, _line, _sign, _swap)


def _token(content: str, rng: random.Random) -> str:
    """Replace, duplicate or remove a word of a line."""
    found = list(re.finditer(r"[\w.%]+|[^\w\s]", content))
    if not found:
        return rng.choice(NUMBERS)
    place = rng.choice(found)
    other = rng.choice(
        (rng.choice(NUMBERS), rng.choice(WORDS), place[0] * 2, "", rng.choice(found)[0], place[0].swapcase())
    )
    return content[: place.start()] + other + content[place.end() :]


def _many(content: str, rng: random.Random) -> str:
    """Repeat a piece of the text many times, to expose work that is not linear in its length."""
    start, end = sorted(rng.choices(range(len(content) + 1), k=2))
    piece = content[start : min(end, start + 30)] or "("
    return content[:start] + piece * rng.choice((2, 5, 50, 400)) + content[start:]


LINE_BREAKS = (_number, _token, _token, _token, _sign, _sign, _swap, _many, _phrase)
FILE_BREAKS = (*BREAKS, _token, _many, _shape)
