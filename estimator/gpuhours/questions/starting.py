"""``init``: a commented run file, from given options or from an example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.nodes import find_instance
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.yaml_files import read_text, read_yaml
from gpuhours.run.flags import SHORTCUTS
from gpuhours.run.overlays import put
from gpuhours.run.shortcuts import keys
from gpuhours.run.spec import Run, Supplied, from_dict
from gpuhours.software.matching import is_unknown

HEAD = "# A run, for `gpuhours estimate FILE`. What is not stated is assumed and listed; `gpuhours schema run` lists all keys.\n"
USUAL = {
    "model": "llama-3-8b", "data.tokens": "1T", "data.seq_len": 4096, "data.dataset_samples": "10M", "data.epochs": 1,
    "training.global_batch": 1024, "training.dtype": "bf16", "hardware.accelerator": "h100-sxm-80gb", "hardware.gpus": 64,
    "layout.tensor": 1, "layout.pipeline": 1, "layout.context": 1, "layout.expert": 1, "layout.microbatch": 1, "layout.sharding": "zero1",
    "layout.recompute": "none", "software": "megatron-core", "cost.price": "2.5 USD/hour", "cost.country": "France",
}  # fmt: skip
"""Keys written as comments, to be filled in: every key that a shortcut sets, except those for special kinds of runs."""
WIDTH = 34
ASKED = {
    "model": "Which model (a name, a size such as 7B, a config.json)", "tokens": "How many tokens", "seq_len": "Tokens in a sample",
    "batch": "Samples per step, or tokens with the unit ('4M tokens')", "gpu": "Which GPU, or cloud instance", "gpus": "How many of them",
    "precision": "Which precision", "software": "Which training stack", "country": "In which country",
}  # fmt: skip
"""Shortcut -> question asked by ``init --ask``; an empty answer leaves the key unset."""


def example_names() -> dict[str, Path]:
    """Example name -> path: first those written as examples, then the runs of the published documents."""
    package = Path(str(files("gpuhours")))
    own = sorted((package / "examples").glob("*.yaml"))
    documents = sorted((package / "published" / "documents").glob("*.yaml"))
    return {path.stem: path for path in (*own, *documents)}


def example(name: str) -> str:
    """The contents of an example's file."""
    known = example_names()
    if name not in known:
        raise EstimateError(
            f"No example {name!r}.", nearest(name, known) or f"There are {', '.join(known)}.", "--example"
        )
    content = read_yaml(known[name]).data
    if "run" not in content:
        return read_text(known[name])
    head = "".join(f"# {content[key]}\n" for key in ("title", "source") if key in content)
    run = dict(content["run"])
    if "assumptions" in run:  # which figures of the text they come from is for `reproduce`, not for a run
        run["assumptions"] = {
            key: {name: value for name, value in one.items() if name in Supplied.model_fields}
            for key, one in run["assumptions"].items()
        }
    return head + as_yaml({"name": content["name"], **run})


def as_yaml(data: Mapping[str, Any]) -> str:
    """A run's mapping as YAML."""
    import yaml

    return str(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120))


def commented(shortcuts: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """A run file with the given keys, each explained; other usual keys are commented out."""
    data: dict[str, Any] = {}
    for key, value in (keys(shortcuts, {}) | dict(settings)).items():
        put(data, key, int(value) if isinstance(value, str) and value.isdigit() else value)
    if data:
        _names_are_known(from_dict(data))
    blocks = dict.fromkeys([*(key.split(".")[0] for key in USUAL), *data])
    return HEAD + "\n".join(line for block in blocks for line in _block(block, data.get(block)))


def _names_are_known(run: Run) -> None:
    """Raise if an accelerator or a stack is ambiguous or unknown, as an estimate of the file would."""
    named = run.hardware.named
    if named is not None and find_instance(named) is None:
        load_accelerator(named)
    if run.software is not None:
        is_unknown(run.software, run.year)  # raises an error for a misspelling


def _block(name: str, said: Any) -> Iterator[str]:
    """One block: given keys, then other usual ones."""
    usual = {key.partition(".")[2]: value for key, value in USUAL.items() if key.split(".")[0] == name}
    if "" in usual:
        yield from (
            as_yaml({name: said}).splitlines() if isinstance(said, Mapping) else [_line(name, said, usual[""], name)]
        )
        return
    inside = dict(said or {})
    shown = {**usual, **inside}
    yield f"{name}:" if inside else f"# {name}:"
    for key in shown:
        if isinstance(inside.get(key), Mapping):
            yield from (f"  {line}" for line in as_yaml({key: inside[key]}).splitlines())
        else:
            yield _line(f"{name}.{key}", inside.get(key), shown[key], key, "  ")


def _line(path: str, said: Any, usual: Any, key: str, indent: str = "") -> str:
    """``  gpus: 64     # Number of GPUs.``; commented out if not given."""
    value = usual if said is None else said
    line = f"{'# ' if said is None else ''}{indent}{as_yaml({key: value}).strip()}"
    words = next((text for own, text in SHORTCUTS.values() if own == path), "")
    return f"{line:<{WIDTH}}  # {words}" if words else line
