"""Valid inputs for each surface, and the ways to break them; ``fuzz`` tries the results."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from gpuhours.architecture import catalogue
from gpuhours.inputs.yaml_files import read_yaml_text
from gpuhours.questions.interchange.exporting import export
from gpuhours.run.spec import from_dict

HERE = Path(__file__).parents[1]
PUBLISHED = HERE.parent / "estimator" / "gpuhours" / "published"
SPECIFICATIONS = HERE.parent / "hardware_specs"
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


@dataclass(frozen=True)
class Seed:
    """A valid command and the file it reads, which is the part that gets broken."""

    arguments: tuple[str, ...]
    name: str = "r.yaml"
    content: str = ""

    @property
    def prose(self) -> bool:
        """Whether the file is prose."""
        return self.name.endswith((".txt", ".html", ".tex", ".md"))


def seeds() -> dict[str, list[Seed]]:
    """Return surface -> valid inputs."""
    runs = [path.read_text(encoding="utf-8") for path in sorted((HERE / "runs").glob("*.yaml"))]
    return {
        "runs": [
            Seed((*words, "r.yaml", *more), "r.yaml", run)
            for run in (*runs, STAGED, KNOWN, FED)
            for words, more in (
                (["estimate"], []), (["estimate"], ["--json"]), (["estimate"], ["--explain", "mfu"]), (["report"], ["-o", "o.html"]),
                (["trace"], ["--json"]), (["trace"], ["-o", "t.json"]), (["export"], ["--to", "megatron"]),
                (["export"], ["--to", "nemo", "--json"]), (["plan"], ["--gpus", "8"]), (["compare"], ["r.yaml", "--json"]),
                (["sweep"], ["--vary", "hardware.gpus=64,128"]), (["compare"], ["r.yaml"]),
            )
        ],
        "settings": [
            Seed(("estimate", "r.yaml", *more), "r.yaml", run)
            for run in (*runs, STAGED, KNOWN, FED) for more in ([], ["--json"])
        ],
        "words": list(flags()),
        "texts": list(texts()),
        "tables": list(tables()),
        "profiles": list(profiles()),
        "documents": [
            Seed(("reproduce", "d.yaml", *more), "d.yaml", path.read_text(encoding="utf-8"))
            for path in sorted((PUBLISHED / "documents").glob("*.yaml")) for more in ([], ["--json"])
        ],
        "configs": [
            Seed(("models", "show", "config.json", *more), "config.json", json.dumps(json.loads(line)["config"], indent=1))
            for line in (HERE / "architecture" / "hugging_face_configs.jsonl").read_text(encoding="utf-8").splitlines()
            for more in ([], ["--json"])
        ],
        "other code": [Seed(("import", name, "-o", "i.yaml", "--force"), name, content) for name, content in imported(runs[0])],
        "logs": [
            Seed((*words, *more), name, (HERE / "steps" / source).read_text(encoding="utf-8"))
            for words, name, source in (
                (("watch", "l.log", "--once", "--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--gpus", "64", "--tokens", "1T"),
                 "l.log", "train.log"),
                (("calibrate", "o.csv", "-o", "s.yaml"), "o.csv", "own-steps.csv"),
                (("estimate", "--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--gpus", "64", "--tokens", "1T", "--set", "site=s.yaml"),
                 "s.yaml", "site.yaml"),
            )
            for more in ([], ["--json"])
        ],
    }  # fmt: skip


STAGED = """name: staged
model: llama-3-8b
hardware: {accelerator: h100-sxm-80gb, gpus: 256}
training: {global_batch: 1024}
layout: {tensor: 4, sharding: zero1}
stages:
- data: {tokens: 1T, seq_len: 8192}
- data: {tokens: 50B, seq_len: 65536}
  training: {global_batch: 64}
  layout: {context: 8, sequence_method: ring}
"""
KNOWN = """name: known
model: {params: 70B}
data: {tokens: 2T}
hardware: {accelerator: a100-sxm-80gb, gpus: 2048}
known: {gpu_hours: 1.7M, goodput: 0.95}
cost: {price: 2 USD/GPU-hour, country: France, year: 2024, pue: 1.1}
assumptions:
  data.seq_len: {value: 4096, low: 2048, high: 8192, reason: usual}
"""
FED = """name: fed
model:
  vision: {name: siglip-so400m-14-384, trainable: frozen}
  bridge: {kind: cross-attention, every: 4, resampler: {queries: 64, heads: 16}}
  language: {name: llama-3-8b, trainable: frozen}
data: {video_hours: 10k, fps: 1 FPS, frames: 32, resolution: 384, text_tokens: 128, longest_frames: 64}
input: {decoder: cpu, stored_fps: 30 FPS, cores_per_gpu: 16, storage_bandwidth: 10 GB/s, sample_bytes: 5 MB}
training: {global_batch: 256}
hardware: {accelerator: h100-sxm-80gb, gpus: 64}
"""
CLAIMS = """name: a
facts: {accelerator: a100-sxm-80gb, country: China}
claims:
- {quantity: wall_clock, value: approximately 3 months}
- {quantity: gpu_hours, value: 1.8M GPU-hours}
- {quantity: gpus, value: 1024}
- {quantity: parameters, value: 30B, quote: a model of 30B, place: line 3}
- {quantity: tokens, value: 500B}
"""
MEASURED = """title: t
source: somewhere
models:
  m: {kind: decoder, layers: 2, hidden: 256, heads: 4, vocab: 1000}
run:
  training: {dtype: bf16}
  hardware: {accelerator: h100-sxm-80gb, gpus: 1}
  software: torch-eager
rows:
- id: a
  step_time: 238.0 ms
  foretold: 260.7 ms
  allocated: 32.6 GB
  run: {model: m, data: {seq_len: 128}, training: {global_batch: 2}}
- id: b
  step_time: 0.1
  run: {model: llama-3.2-1b, data: {seq_len: 128}, training: {global_batch: 2}}
"""


def flags() -> Iterator[Seed]:
    """Commands without a file of their own."""
    quick = ("--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb")
    for line in (
        ("init", *quick), ("schema", "run"), ("prices", "--gpu", "h100", "--provider", "AWS"), ("hardware", "show", "h100-sxm-80gb"),
        ("software", "show", "megatron-core"), ("estimate", *quick, "--mfu", "40%"), ("models", "show", "mae-l", "--resolution", "224"),
        ("models", "show", "llama-3-8b", "--frames", "8", "--text-tokens", "128", "--json"), ("init", "--example", "lora"),
        ("estimate", "--params", "7B", "--epochs", "2", "--mfu", "44%", "--batch", "512", "--steps", "1000", "--gpus", "512", "--json"),
        ("estimate", *quick, "--gpus", "64", "--days", "30", "--precision", "fp8", "--sharding", "zero1"), ("models",), ("hardware",),
        ("estimate", *quick, "--gpus", "64", "--by", "2027-01-01", "--budget", "1M USD"), ("plan", *quick, "--gpus", "8,16", "--json"),
        ("sweep", *quick, "--vary", "hardware.gpus=64,128", "--vary", "layout.tensor=1..8", "--where", "mfu > 0.3"),
        ("sweep", *quick, "--vary", "hardware.gpus=64..256:64", "--minimise", "cost", "-o", "s.csv", "--force"),
        ("compare", *quick, "--gpus", "64", "--gpu", "h200-sxm-141gb", "--json"), ("reproduce", "list"),
    ):  # fmt: skip
        yield Seed(line)


def texts() -> Iterator[Seed]:
    """Papers, as plain text, Markdown and HTML, and claims taken from one."""
    for path in sorted((HERE / "texts").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        for more in ((), ("--json",), ("-o", "c.yaml", "--markdown", "m.md", "--html", "h.html")):
            yield Seed(("check", "p.txt", *more), "p.txt", text)
        yield Seed(("check", "p.html"), "p.html", f"<html><body><p>{text}</p></body></html>")
        yield Seed(
            ("check", "p.tex", "--json"),
            "p.tex",
            f"\\documentclass{{article}}\\begin{{document}}{text}\\end{{document}}",
        )
    for more in ((), ("--json",), ("-o", "o.yaml", "--markdown", "m.md")):
        yield Seed(("check", "c.yaml", *more), "c.yaml", CLAIMS)


def tables() -> Iterator[Seed]:
    """A few rows of published runs."""
    for words, name in ((("check", "t.csv"), "run_totals.csv"), (("validate", "--runs", "t.csv"), "runs.csv"),
                        (("validate", "--totals", "t.csv"), "run_totals.csv")):  # fmt: skip
        rows = list(csv.reader(io.StringIO((PUBLISHED / name).read_text(encoding="utf-8"))))
        for start in range(1, len(rows) - 3, 5):
            out = io.StringIO()
            csv.writer(out).writerows([rows[0], *rows[start : start + 3]])
            for more in ((), ("--json",)):
                yield Seed((*words, *more), "t.csv", out.getvalue())
    for more in ((), ("--json",), ("--memory-only",)):
        yield Seed(("validate", "--runs", "m.yaml", *more), "m.yaml", MEASURED)


def profiles() -> Iterator[Seed]:
    """User-defined accelerators and nodes."""
    for path in sorted((SPECIFICATIONS / "accelerators").glob("*.yaml")):
        content = path.read_text(encoding="utf-8")
        yield Seed(("hardware", "show", "hw.yaml"), "hw.yaml", content)
        yield Seed(
            ("estimate", "--model", "llama-3-8b", "--gpu", "hw.yaml", "--gpus", "16", "--tokens", "1T", "--json"),
            "hw.yaml",
            content,
        )
    for path in sorted((SPECIFICATIONS / "nodes").glob("*.yaml")):
        content = path.read_text(encoding="utf-8")
        yield Seed(("hardware", "show", "hw.yaml", "--json"), "hw.yaml", content)
        yield Seed(("estimate", "--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--set", "hardware.node=hw.yaml", "--tokens", "1T"),
                   "hw.yaml", content)  # fmt: skip


def imported(run: str) -> list[tuple[str, str]]:
    """Files for other training code, as our export writes them."""
    names = {
        "megatron": "m.sh", "torchtitan": "t.toml", "deepspeed": "d.json", "accelerate": "a.yaml", "nemo": "n.yaml", "axolotl": "x.yml",
    }  # fmt: skip
    described = from_dict(read_yaml_text(run, "r.yaml").data)
    return [(name, export(described, code).text) for code, name in names.items()]


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
