"""The entry points (doors) for text from users, each as a function of one text; ``million`` feeds them hostile input.

A door is the function that a command calls with the user's text; calling it directly can be a thousand times faster than the command.
It rejects a text with an ``EstimateError`` (or a ``UnitError`` for doors inside a file); any other exception is a bug. The returned
values are searched for numbers that are not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.architecture import catalogue
from gpuhours.architecture.hugging_face.config import read_config
from gpuhours.cost.grids import grid
from gpuhours.cost.prices import read_date
from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.hardware.nodes import find_instance, instance_hint, list_instances, list_nodes, load_node
from gpuhours.hardware.number_formats import spelled
from gpuhours.inputs.errors import EstimateError, UnitError
from gpuhours.inputs.units import magnitude, measured_in, parse, whole
from gpuhours.inputs.yaml_files import Source, read_yaml_text, validated
from gpuhours.questions.calibrating.explaining import seconds_observed
from gpuhours.questions.calibrating.formats import formats
from gpuhours.questions.calibrating.logs import read_log
from gpuhours.questions.checking.accelerators import find_accelerator
from gpuhours.questions.checking.file import read_claims
from gpuhours.questions.checking.reading.figures.numbers import scan
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.table import documents as table_documents
from gpuhours.questions.checking.table import read_rows as read_table
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.interchange.importing import import_files
from gpuhours.questions.listing.models import sample
from gpuhours.questions.listing.prices import price_table
from gpuhours.questions.reproducing.document import Published
from gpuhours.questions.sweeping.axes import axes
from gpuhours.questions.sweeping.values import varied
from gpuhours.questions.sweeping.where import where
from gpuhours.questions.validating.case import case_of
from gpuhours.questions.validating.described import read_described
from gpuhours.questions.validating.rows import read_rows
from gpuhours.run.evaluate import Outcome, evaluate
from gpuhours.run.overlays import setting
from gpuhours.run.results import RESULTS, plain_results
from gpuhours.run.shortcuts import overlaid
from gpuhours.run.site import read_site
from gpuhours.run.spec import Run, from_dict, from_source
from gpuhours.software.matching import software_named
from gpuhours.software.profile import load_software
from gpuhours_cli.estimate import day_of, money_of
from tests.benchmarks import hostile, valid_inputs

Enter = Callable[[str], Any]
UNITS = ("", "byte", "byte/s", "FLOP/s", "token", "GPU*hour", "USD", "USD/hour", "day", "FPS", "W", "gCO2e", "pixel")


@dataclass(frozen=True)
class Door:
    """A function of a text, and texts that it accepts."""

    enter: Enter
    seeds: tuple[str, ...]
    words: bool = False
    """Whether the input is a short line of words, which is mutated by characters and words instead of lines and values."""


def of_file(name: str, enter: Callable[[Path], Any]) -> Enter:
    """Return a door that writes the text to a file and reads it from there."""
    path = Path("doors") / name  # a folder of its own, as cases of commands empty theirs

    def written(text: str) -> Any:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        return enter(path)

    return written


def quantity(text: str) -> list[float]:
    """Parse the text in every unit that accepts it; raise the last error if none does."""
    found, refused = [], None
    for unit in UNITS:
        for read in (partial(parse, unit=unit), measured_in(unit).read, whole(unit).read):
            try:
                found.append(read(text))
            except ValueError as error:
                refused = error
    if not found and refused is not None:
        raise refused
    return [*found, magnitude(text)]


def conditioned(text: str) -> Any:
    """Parse a condition and evaluate it on columns of text and of numbers, including nan."""
    kinds: dict[str, str | None] = {
        **dict.fromkeys(RESULTS, ""),
        "wall_clock": "s",
        "memory_per_gpu": "byte",
        "fits": "condition",
        "hardware.accelerator": None,
    }
    condition = where(text, kinds)
    numbers = np.array([0.0, 1.0, -1.0, 1e30, np.nan])
    columns = {None: np.array(["h100"] * 5), "condition": numbers > 0}
    assert condition(lambda name: columns.get(kinds[name], numbers)).dtype == bool
    return sorted(condition.names)


def base() -> Run:
    """Return a run to which ``--set`` values and axes are applied."""
    return from_dict(
        read_yaml_text(
            valid_inputs.STAGED.partition("stages")[0] + "data: {tokens: 1T, seq_len: 8192}\n", "r.yaml"
        ).data
    )


def varying(run: Run) -> Enter:
    """Return a door that reads a SPEC as axes over ``run``."""

    def enter(text: str) -> Any:
        key, values = varied(text)
        return len(axes(run, {key: values[:100]}))  # as many as a user would type

    return enter


def set_over(source: Source) -> Enter:
    """Return a door for ``--set KEY=VALUE`` on a run."""
    return lambda text: overlaid(source, {}, dict([setting(text)])).model_dump(mode="json", exclude_none=True)


def shortcut(text: str) -> Any:
    """Return a door for ``--NAME VALUE`` on the command line."""
    name, _, value = text.partition("=")
    return overlaid(Source("the run", {}), {"model": "llama-3-8b", name if name in SHORT else "gpus": value})


SHORT = (
    "model",
    "params",
    "tokens",
    "gpu",
    "gpus",
    "days",
    "mfu",
    "batch",
    "seq_len",
    "precision",
    "price",
    "country",
    "software",
    "year",
)


def answered(text: str) -> Any:
    """Read and evaluate a run file."""
    return plain_results(evaluate(from_source(read_yaml_text(text, "r.yaml"))))


def observed(outcome: Outcome) -> Enter:
    """Return a door for ``--observed KEY=VALUE`` on an outcome."""
    return lambda text: seconds_observed(outcome, text)


def priced(text: str) -> Any:
    """``gpuhours prices --gpu ONE --provider OTHER``."""
    gpu, _, provider = text.partition("|")
    return price_table(gpu or None, provider or None).to_dict()


def named(text: str) -> Any:
    """Look a name up in every list of names, including those that raise an error for unknown names; return the number of lists."""
    stack, country = (partial(read, year=2024) for read in (software_named, grid))
    loads: tuple[Enter, ...] = (
        find_accelerator, stack, country, spelled, find_instance, instance_hint, load_accelerator, load_node, catalogue.named,
    )  # fmt: skip
    return len([_refused(load, text) for load in loads])


def dated(text: str) -> Any:
    """Parse the text as a date and as an amount of money, as the command line does."""
    return [_refused(day_of, text), _refused(money_of, text), _refused(date, text)]


def date(text: str) -> str:
    """Parse the date of a price; pydantic accepts a ``ValueError`` from it."""
    try:
        return read_date(text)
    except ValueError as error:
        raise UnitError(str(error)) from None


def _refused(read: Enter, text: str) -> str:
    """Return the result of ``read`` as text, or the message of the error with which it refuses the text."""
    try:
        return str(read(text))
    except (EstimateError, UnitError) as error:
        return str(error)


def table(path: Path) -> Any:
    """Read a table of runs as claims."""
    return list(table_documents(read_table(path)))


def document(text: str) -> Any:
    """Read the file of a published text."""
    return validated(Published, read_yaml_text(text, "d.yaml")).name


def stacks() -> tuple[str, ...]:
    """Return the text of the shipped software profiles."""
    folder = Path(str(resources.files("gpuhours.software"))) / "profiles"
    return tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml")))


def cases(path: Path) -> Any:
    """Read rows of measured runs as cases."""
    return [str(case_of(row)) for row in read_rows(path)]


def claimed(path: Path) -> Any:
    """Read and check a file of claims."""
    return check_paper(read_claims(path)).to_dict()


def judged(text: str) -> Any:
    """Read and check a text, without a prediction."""
    return check_paper(read_paper(text)).to_dict()


def sampled(text: str) -> Any:
    """Run ``models show`` with lengths."""
    return sample(*[part or None for part in [*text.split("|"), "", "", ""][:4]])


def sentences(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return every sentence of some texts."""
    return tuple(
        dict.fromkeys(
            one.strip() for text in texts for one in text.replace("\n", " ").split(". ") if 20 < len(one) < 400
        )
    )


def doors() -> Mapping[str, Door]:
    """Return surface -> its door; files are written to a subfolder of the current folder."""
    return lines() | texts() | files()


def lines() -> dict[str, Door]:
    """Return the doors for the content of a line: of a command, a file or a paper."""
    source = read_yaml_text(valid_inputs.KNOWN, "r.yaml")
    spoken = ("H100 SXM5 80GB", "Megatron-LM v0.9", "France", "fp8")
    meant = ("1", "4096", "full", "1T", "{kind: decoder}", "[1, 2]")
    said = ("8", "40%", "1T", "h100-sxm-80gb", "France")
    found: dict[str, tuple[Enter, tuple[str, ...]]] = {
        "quantities": (quantity, (
            "80 GB", "3.35 TB/s", "400 Gbit/s", "1.8M GPU-hours", "989.4 TFLOP/s", "2.5 USD/GPU-hour", "3 weeks", "40 %", "15T", "2,048",
            "30 FPS", "700 W", "1e6", "50k USD", "8192 token", "1/s", "336 pixel", "1.5 tCO2e",
        )),
        "conditions": (conditioned, (
            "fits and mfu > 40% and wall_clock < 30 days", "not fits or memory_per_gpu <= 70 GB", "hardware.accelerator == 'h100'",
            "cost ** 2 / mfu - 3 * (goodput + 1) != 0", "wall_clock * mfu >= 2 hours or (fits)",
        )),
        "specs": (varying(base()), (
            "layout.tensor=1,2,4,8", "hardware.gpus=64..1024*2", "data.tokens=1T..4T:1T", "hardware.accelerator=h100-sxm-80gb,l40s",
            "training.dtype=bf16,fp8", "cost.price=1..3:0.5", "layout.recompute=none,full", "data.seq_len=1k..8k*2",
        )),
        "settings": (set_over(source), tuple(f"{key}={value}" for key in hostile.KEYS for value in meant)),
        "shortcuts": (shortcut, tuple(f"{name}={value}" for name in SHORT for value in said)),
        "names": (named, (*list_accelerators(), *list_nodes(), *list_instances(), *catalogue.names(), *spoken)),
        "prices": (priced, ("h100|AWS", "h100-sxm-80gb|", "|Lambda", "a100|Google Cloud", "b200|")),
        "days and money": (dated, ("2027-03-01", "2M USD", "50k USD", "2026-08", "1 USD")),
        "observations": (observed(evaluate(base())), (
            "step_time=1.42s", "mfu=38%", "tokens_per_second=530k", "samples_per_second=12", "steps_per_second=0.4",
        )),
        "lengths": (sampled, ("4096|8|336|128", "|1|224|", "2k|||")),
    }  # fmt: skip
    return {name: Door(enter, seeds, words=True) for name, (enter, seeds) in found.items()}


def texts() -> dict[str, Door]:
    """Return the doors for the content of a paper, and for whole papers."""
    papers = [seed for seed in valid_inputs.texts() if seed.name in ("p.txt", "p.html", "p.tex")]
    plain = tuple(dict.fromkeys(seed.content for seed in papers if seed.name == "p.txt"))
    marked_up = tuple(seed.content for seed in papers if seed.name != "p.txt")
    return {
        "figures in prose": Door(scan, sentences(plain), words=True),
        "sentences": Door(lambda text: read_paper(text), sentences(plain), words=True),
        "papers": Door(judged, plain),
        "marked-up papers": Door(lambda text: read_paper(text, "p", ".tex"), marked_up),
        "claims": Door(of_file("c.yaml", claimed), (valid_inputs.CLAIMS,)),
    }


def files() -> dict[str, Door]:
    """Return the doors for the content of other files."""
    seeds = valid_inputs.seeds()
    of = {surface: tuple(dict.fromkeys(seed.content for seed in fine)) for surface, fine in seeds.items()}
    checked, measured = (
        tuple(seed.content for seed in seeds["tables"] if seed.arguments[:2] == words)
        for words in (("check", "t.csv"), ("validate", "--runs"))
    )
    logs = tuple(seed.content for seed in seeds["logs"] if seed.name != "s.yaml")
    found: dict[str, tuple[Enter, tuple[str, ...]]] = {
        "YAML": (lambda text: read_yaml_text(text, "r.yaml").data, of["runs"]),
        "run files": (lambda text: from_source(read_yaml_text(text, "r.yaml")).model_dump(mode="json"), of["runs"]),
        "runs worked out": (answered, tuple(run for run in of["runs"] if len(run) < 700)),
        "config.json": (of_file("config.json", read_config), of["configs"]),
        "models": (of_file("config.json", lambda path: from_dict({"model": str(path)})), of["configs"]),
        "accelerators": (of_file("hw.yaml", lambda path: load_accelerator(str(path))), of["profiles"]),
        "nodes": (of_file("node.yaml", lambda path: load_node(str(path))), of["profiles"]),
        "stacks": (of_file("stack.yaml", lambda path: load_software(str(path))), stacks()),
        "tables of totals": (of_file("t.csv", table), checked),
        "tables of steps": (of_file("t.csv", cases), measured),
        "measured files": (of_file("m.yaml", read_described), (valid_inputs.MEASURED,)),
        "documents": (document, of["documents"]),
        "logs": (of_file("l.log", read_log), (*logs, *(f"{one.example}\n" for one in formats().lines))),
        "sites": (of_file("s.yaml", read_site), tuple(seed.content for seed in seeds["logs"] if seed.name == "s.yaml")),
    }
    for name in dict.fromkeys(seed.name for seed in seeds["other code"]):
        contents = dict.fromkeys(seed.content for seed in seeds["other code"] if seed.name == name)
        found[f"import {name}"] = (of_file(name, lambda path: import_files([path]).to_dict()), tuple(contents))
    return {name: Door(enter, fine) for name, (enter, fine) in found.items()}
