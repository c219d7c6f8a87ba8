"""Write the reference pages from the package's own listings: ``python .github/docs/generate.py``.

``tests/cli/test_reference.py`` compares the committed pages with the output of this script.
"""

from __future__ import annotations

import ast
import json
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

PAGES = Path(__file__).parent / "pages" / "reference"
HEAD = "<!-- Written by .github/docs/generate.py: change what it reads, then run it. -->\n\n# {title}\n\n{lead}\n"


def cell(value: Any) -> str:
    """Return a value as text for one cell of a Markdown table: on one line, with ``|`` and ``<`` escaped."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table; a column whose head begins with > is right-aligned, for numbers."""
    lines = [
        " | ".join(head.removeprefix(">") for head in heads),
        " | ".join("---:" if head.startswith(">") else "---" for head in heads),
    ]
    lines += [" | ".join(cell(value) for value in row) for row in rows]
    return "".join(f"| {line} |\n" for line in lines)


def code(words: Iterable[Any]) -> str:
    """Return names formatted as code and separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def plainly(value: Any) -> str:
    """Return a value as code, as it is written in a YAML file; empty for an empty value."""
    return "" if value in (None, "", [], {}) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def key_rows(properties: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield each key with its description, its options or an example, and its default."""
    for key, told in properties.items():
        words = list(dict.fromkeys(_under(told, "enum")))
        shown = [] if words[12:] else [f"`{word}`" for word in words]
        shown = shown or [plainly(one) for one in (*told.get("examples", ()), *_under(told, "examples"))][:1]
        blocks = [ref.rpartition("/")[2] for ref in _under(told, "$ref")]
        links = [f"[{name}](#{name.lower()})" for name in blocks]
        yield (
            f"`{key}`",
            told.get("description", ""),
            ", ".join(shown + links),
            "" if isinstance(told.get("default"), dict) else plainly(told.get("default")),
        )


def _under(told: Any, name: str) -> Iterator[Any]:
    """Yield every value under ``name`` in a key's schema; items of a list one by one."""
    if isinstance(told, Mapping):
        for key, inner in told.items():
            if key == name:
                yield from inner if isinstance(inner, list) else [inner]
            elif key in ("anyOf", "items", "oneOf", "allOf"):
                yield from _under(inner, name)
    elif isinstance(told, list):
        for inner in told:
            yield from _under(inner, name)


def keys_of(kind: str) -> str:
    """Return a table of keys for a kind of file and for each block in it."""
    from gpuhours.questions.listing.schemas import schema

    found = schema(kind)
    heads = ("key", "what it is", "for example, or one of", "left out")
    text = table(heads, key_rows(found["properties"])) if "properties" in found else ""
    for name, block in sorted(found.get("$defs", {}).items(), key=lambda item: (item[0] != "Run", item[0])):
        if block.get("properties"):
            about = (
                " ".join(block.get("description", "").split("\n\n")[0].split()).replace("``", "`").replace("<", "&lt;")
            )
            text += f"\n### {name}\n\n{about}\n\n{table(heads, key_rows(block['properties']))}"
    return text.replace("``", "`")


def keys() -> tuple[str, str, str]:
    """Return title, introduction and body of the page with every key of a run file."""
    lead = "What may stand in a run file: `gpuhours schema run` prints the same as JSON Schema, which editors complete from."
    return "Keys of a run file", lead, keys_of("run")


def profiles() -> tuple[str, str, str]:
    """Return the page with every key of the other files."""
    lead = "Accelerators, nodes, stacks, claims, documents and measurements of your own: `gpuhours schema KIND` prints each as JSON Schema."
    kinds = ("hardware", "software", "claims", "document", "measurements")
    return "Keys of other files", lead, "\n".join(f"## {kind}\n\n{keys_of(kind)}" for kind in kinds)


def stacks() -> tuple[str, str, str]:
    """Return the page with every software profile and the measured steps it was tested on."""
    from gpuhours.questions.listing.software import listing

    lead = "`--software NAME`. `gpuhours software show NAME` has every figure with its source."
    rows = [
        (f"`{one.software.name}`", one.software.title, f"`{one.like}`" if one.like else "", one.steps,
         "; ".join(f"{source.source} ({source.steps})" for source in one.software.measured_on), code(one.software.aliases))
        for one in listing().entries
    ]  # fmt: skip
    return (
        "Training stacks",
        lead,
        table(("name", "what it is", "like", ">steps", "measured on (steps)", "also called"), rows),
    )


def models() -> tuple[str, str, str]:
    """Return the page with every published model."""
    from gpuhours.architecture.catalogue import named
    from gpuhours.questions.listing.models import list_models

    lead = (
        "`--model NAME`. `gpuhours models show NAME` has parts and FLOPs; any Hugging Face `config.json` does as well."
    )
    rows = [
        (f"`{one.name}`", one.title, one.kind, f"{one.parameters:,.0f}", f"{one.active:,.0f}" if one.active != one.parameters else "",
         named(one.name).source)
        for one in list_models().entries
    ]  # fmt: skip
    return "Models", lead, table(("name", "what it is", "kind", ">parameters", ">of which active", "source"), rows)


def cards() -> tuple[str, str, str]:
    """Return the page with every accelerator and node."""
    from gpuhours.questions.listing.hardware import catalogue
    from gpuhours_cli.render.hardware import amount

    found = catalogue()
    lead = "`--gpu NAME`, or a cloud instance's name. `gpuhours hardware show NAME` has every figure with its source; peaks are dense."
    shown = ("peak.bf16", "peak.fp16", "peak.fp8", "memory", "memory_bandwidth", "link_bandwidth", "power")
    rows = [
        (
            f"`{one.name}`",
            one.title,
            *(amount(one.figures[key]) if key in one.figures else "" for key in shown),
            one.to_dict()["step_times"]["basis"],
        )
        for one in found.accelerators
    ]
    machines = [
        (
            f"`{one.name}`",
            one.title,
            code(one.accelerators),
            amount(one.figures["gpus"]),
            f"`{one.instance}`" if one.instance else "",
            one.network,
        )
        for one in found.nodes
    ]
    heads = (
        "name",
        "what it is",
        ">bf16",
        ">fp16",
        ">fp8",
        ">memory",
        ">its rate",
        ">link, one way",
        ">power",
        "step times",
    )
    nodes = table(("name", "what it is", "holds", ">GPUs", "instance", "network"), machines)
    return "Accelerators and nodes", lead, f"{table(heads, rows)}\n## Nodes\n\n{nodes}"


def prices() -> tuple[str, str, str]:
    """Return the page with every dated price."""
    from gpuhours.questions.listing.prices import per_hour, price_table

    found = price_table()
    lead = "USD per GPU-hour, each with its date. `gpuhours prices --gpu NAME` prints those of one card; `--price` is your own."
    rows = [
        (f"`{name}`", row.provider, row.commitment, f"{per_hour(row):.2f}", row.as_of, row.offering, row.region, row.source)
        for name, offers in found.offers.items() for row in offers
    ]  # fmt: skip
    storage = [(one.provider, one.kind, one.offering, one.price, one.as_of, one.source) for one in found.storage]
    return "Prices", lead, (
        table(("card", "provider", "terms", ">USD", "as of", "offering", "region", "source"), rows)
        + f"\n## Storage and traffic\n\n{table(('provider', 'kind', 'offering', 'price', 'as of', 'source'), storage)}"
    )  # fmt: skip


def countries() -> tuple[str, str, str]:
    """Return the page with every country's grid."""
    from gpuhours.cost.grids import countries as known

    lead = "`--country NAME`: what a kilowatt-hour emits, in gCO2e, in the newest year known; an estimate takes the year of `cost.year`."
    rows = []
    for letters, one in sorted(known().items(), key=lambda item: item[1].name):
        newest = max(one.intensity)
        rows.append(
            (
                one.name,
                code((letters, *one.also)),
                f"{one.intensity[newest]:.0f}",
                newest,
                f"{min(one.intensity)} to {newest}",
            )
        )
    return "Countries", lead, table(("country", "also", ">gCO2e/kWh", ">year", "years known"), rows)


def quantities() -> tuple[str, str, str]:
    """Return the page with every result, every quantity of a text and the identities between them."""
    from gpuhours.questions.checking.quantities import QUANTITIES
    from gpuhours.run.identities import IDENTITIES
    from gpuhours.run.results import RESULTS

    lead = "What `estimate` answers (`--explain NAME` prints its equation), what `check` reads in a text, and what must hold between them."
    results = [(f"`{one.name}`", one.title, one.unit or "share", one.equation) for one in RESULTS.values()]
    read = [
        (f"`{one.name}`", one.title, one.unit or "share", "" if one.checked else "read, not tested")
        for one in QUANTITIES.values()
    ]
    laws = [
        (one.text, f"{one.sigma:.1%}", getattr(one, "use", "everywhere"), ", ".join(sorted(one.only)))
        for one in IDENTITIES
    ]
    return "Quantities", lead, (
        f"## Results\n\n{table(('name', 'what it is', 'unit', 'equation'), results)}"
        f"\n## Quantities of a text\n\n{table(('name', 'what it is', 'unit', ''), read)}"
        f"\n## Identities\n\n{table(('what holds', '>published figures keep to it within', 'used', 'only where'), laws)}"
    )  # fmt: skip


def commands() -> tuple[str, str, str]:
    """Return the page with the help of every command."""
    lead = "What `gpuhours COMMAND --help` prints. Exit code 0 is fine, 1 is no (does not fit, over budget, a contradiction), 2 bad input."
    return "Commands", lead, "\n".join(f"## {name}\n\n```text\n{text}\n```\n" for name, text in helps())


def helps() -> Iterator[tuple[str, str]]:
    """Yield each command and subcommand with its help at 80 columns."""
    from typer.main import get_command

    from gpuhours_cli.app import registered

    def of(command: Any, above: Any, name: str) -> Iterator[tuple[str, str]]:
        context = command.make_context(name, [], parent=above, resilient_parsing=True)
        yield (f"{above.command_path} {name}" if above else name), command.get_help(context).rstrip()
        for inner in getattr(command, "commands", {}):
            yield from of(command.commands[inner], context, inner)

    yield from of(get_command(registered()), None, "gpuhours")


def examples() -> tuple[str, str, str]:
    """Return the page with every example file, as ``gpuhours init --example NAME`` writes it."""
    from gpuhours.questions.starting import example, example_names

    lead = "Files to begin with: `gpuhours init --example NAME -o run.yaml`, then `gpuhours estimate run.yaml`."
    return (
        "Examples",
        lead,
        "\n".join(f"## {name}\n\n```yaml\n{example(name).rstrip()}\n```\n" for name in example_names()),
    )


PAGE: Mapping[str, Callable[[], tuple[str, str, str]]] = {
    "keys": keys, "profiles": profiles, "stacks": stacks, "models": models, "cards": cards, "prices": prices, "countries": countries,
    "quantities": quantities, "commands": commands, "examples": examples,
}  # fmt: skip


def page(name: str) -> str:
    """Return the text of one page."""
    title, lead, body = PAGE[name]()
    return "\n".join(line.rstrip() for line in f"{HEAD.format(title=title, lead=lead)}\n{body}".splitlines()) + "\n"


MODEL = Path(__file__).parents[2] / "estimator" / "MODEL.md"
FORMULAS = (
    "layout",
    "kernels",
    "memory",
    "step",
    "cost",
    "run/batch.py",
    "run/goodput.py",
    "run/input_pipeline.py",
    "run/remainder.py",
)
"""Folders and files that define constants of the model; constants of a card or a stack are in its own file."""


def model_constants() -> str:
    """Return every constant of the formulas with the place of its definition and the description below it."""
    root = MODEL.parent / "gpuhours"
    files = [path for place in FORMULAS for path in (sorted((root / place).glob("*.py")) or [root / place])]
    rows = [
        (f"`{name}`", value, said, f"`{path.relative_to(root)}`")
        for path in files
        for name, value, said in _constants(path)
    ]
    return table(("constant", "value", "what it is, and from where", "in"), rows)


def _constants(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value as written, description) for a module's numbers that have a description."""
    text = path.read_text(encoding="utf-8")
    for one, below in pairwise(ast.parse(text).body):
        said = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and str(below.value.value)
        if not isinstance(one, ast.Assign) or not said:
            continue
        name, value = (ast.get_source_segment(text, part) or "" for part in (one.targets[0], one.value))
        words = any(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in ast.walk(one.value))
        if name.isupper() and re.search(r"\d", value) and (not words or isinstance(one.value, ast.Dict)):
            yield name, value, said


EQUATIONS = ("layout", "kernels", "flops.py", "memory", "step", "cost", "run/goodput.py")
"""Folders and files whose public functions state their equations as indented blocks of their docstrings, in the order of the model."""


def equations() -> str:
    """Return the equation of every public formula as its docstring states it, with what it gives and its place."""
    root = MODEL.parent / "gpuhours"
    files = [path for place in EQUATIONS for path in (sorted((root / place).glob("*.py")) or [root / place])]
    return "\n".join(
        f"`{path.relative_to(root)}`, `{name}`: {said}\n\n```text\n{block}\n```\n"
        for path in files
        for name, said, block in _equations(path)
    )


def _equations(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield (name, first sentence, indented blocks with an equation) for a module's public functions and methods that have one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        first, *parts = (ast.get_docstring(node) or "").split("\n\n")
        blocks = [part for part in parts if part.startswith("    ") and re.search(r" = |\b(min|max)\(| / ", part)]
        if blocks:
            sentence = re.split(r"(?<!\bal)(?<!\.\.)(?<=\.)\s(?=[A-Z(])", " ".join(first.split()))[0]
            yield node.name, cell(sentence), "\n\n".join(map(textwrap.dedent, blocks))


def identity_rows() -> str:
    """Return the identities between the quantities of a run, the runs they apply to, and how closely published figures satisfy them."""
    from gpuhours.run.identities import IDENTITIES

    rows = [(one.text, ", ".join(sorted(one.only)).replace("_", " "), f"{one.sigma:.1%}") for one in IDENTITIES]
    return table(("identity", "of published runs", ">tolerance"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "identities": identity_rows, "equations": equations, "constants": model_constants,
}  # fmt: skip


def model_page() -> str:
    """Return ``estimator/MODEL.md`` with its tables regenerated."""
    text = MODEL.read_text(encoding="utf-8")
    for name, rows in TABLES.items():
        begin, end = f"<!-- {name}: written by .github/docs/generate.py -->\n", f"<!-- end of {name} -->\n"
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{rows()}\n{end}{rest.partition(end)[2]}"
    return text


def main() -> None:
    """Write all pages and the tables of the model."""
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    os.environ.pop("GPUHOURS_PROFILES", None)
    PAGES.mkdir(parents=True, exist_ok=True)
    for name in PAGE:
        (PAGES / f"{name}.md").write_text(page(name), encoding="utf-8")
    MODEL.write_text(model_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
