"""Which runs a text is about: rows of its tables, items of a list that clash, names in its prose, lists "in this order"; or one run.

A run is one training whose figures must agree with each other. What the text ties to none of several runs holds for all of them (a
batch, a price) or is their sum (hours, energy, cost beside words of a sum); what belongs to somebody else or stands beside the run is set
aside, and says to whom it belongs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.blocks import Block
from gpuhours.questions.checking.reading.names import same_name, size_of, stem, words_of
from gpuhours.questions.checking.reading.owners import NOBODY, Cast, Owner, assign, own_name, sized
from gpuhours.questions.checking.reading.prose import Placed, ReadProse
from gpuhours.questions.checking.reading.rates import unit_factor
from gpuhours.questions.checking.reading.run_words import IN_ORDER, OF_MACHINES_ALONE, holds
from gpuhours.questions.checking.reading.scopes import Sentence
from gpuhours.questions.checking.reading.tables import Row, TableReading
from gpuhours.questions.checking.reading.tokens import Figure

RUN_QUANTITIES = frozenset(
    ["gpu_hours", "wall_clock", "gpus", "nodes", "steps", "tokens", "energy", "carbon", "cost", "samples", "model_flops", "mfu",
     "node_hours",
     "flops_per_second_per_gpu", "tokens_per_second", "tokens_per_second_per_gpu", "step_time", "dataset_tokens"]
)  # fmt: skip
"""What makes a row or an item a run."""
CLASHING = frozenset(["gpu_hours", "wall_clock", "steps", "energy", "carbon", "tokens", "cost", "samples"])
"""What one run has once: two items of a list with different values are two runs."""
SUMS = ("gpu_hours", "energy", "carbon", "cost", "wall_clock", "steps", "tokens", "node_hours")
"""What adds up over runs."""
MACHINES = frozenset(
    [
        "gpus",
        "nodes",
        "gpu_hours",
        "node_hours",
        "wall_clock",
        "cost",
        "energy",
        "carbon",
        "memory_per_gpu",
        "power",
        "gpus_per_node",
        "price",
    ]
)
TITLE = 90
"""Characters of a first paragraph that may be a title."""
LIST_WORDS = frozenset([",", "and", "or", "/"])
NO_SENTENCE = Sentence(0, 0, "", ())


@dataclass
class Run:
    """A run of a text: its name, its figures, the device its row names."""

    name: str
    kind: str = "own"
    """own or total"""
    entries: list[Placed] = field(default_factory=list)
    accelerator: tuple[str, int] | None = None


@dataclass
class Division:
    """The runs of a text, what holds for all of them, and what belongs elsewhere (with whose it is)."""

    runs: list[Run]
    shared: list[Placed]
    aside: list[tuple[Placed, str]]
    name: str = ""


def divide(read: ReadProse, tables: Sequence[TableReading], said: str) -> Division:
    """Give every placed figure to a run."""
    titles = [
        block.text
        for n, block in enumerate(read.prose.blocks)
        if block.kind == "heading" or (n == 0 and len(block.text) < TITLE)
    ][:2]
    rows = [row for table in tables for row in table.rows]
    main = own_name(read, titles, said)
    cast = _cast(read, rows, main, titles)
    owners = _with_lists(read, _by_items(read, assign(read, cast), cast), cast)
    found = Division([], [], [], main)
    runs: dict[str, Run] = {}
    for row in rows:
        _take_row(row, cast, runs, found)
    for entry, owner in zip(read.placed, owners, strict=True):
        _take(entry, owner, runs, found)
    _settle(runs, found, main)
    return found


def _cast(read: ReadProse, rows: Sequence[Row], main: str, titles: Sequence[str]) -> Cast:
    """Whose the names of the tables are, and which stems are the authors' own."""
    named = [
        row
        for row in rows
        if row.name and not row.total and any(e.place.quantity in RUN_QUANTITIES and not e.aside for e in row.entries)
    ]
    names: list[str] = []
    for row in named:
        if not any(same_name(name, row.name) for name in names):
            names.append(row.name)
    others = _others(read, names, [row.name for row in rows if row.name], main, titles)
    own = [name for name in names if name not in others]
    cast = Cast(own, others)
    cast.sizes = sized(own)
    for row in named:
        size = next((e.figure.value for e in row.entries if e.place.quantity == "parameters"), None)
        run = cast.run(row.name)
        if size and run:
            cast.sizes[run] = size
    cast.stems = {stem(name) for name in [*own, main] if stem(name)}
    return cast


def _others(read: ReadProse, names: Sequence[str], every: Sequence[str], main: str, titles: Sequence[str]) -> list[str]:
    """The rows that are somebody else's: names of models beside rows of the authors' own name or size."""
    models = [name for name in dict.fromkeys([*names, *every]) if size_of(name) or re.search(r"[A-Za-z]{2,}-\d", name)]
    told = {word for title in titles for word in words_of(title)} | {stem(main)}
    sizes = _our_sizes(read)
    first = words_of(read.prose.blocks[0].text if read.prose.blocks else "")
    for mine in (
        [name for name in models if stem(name) in told],
        [name for name in models if size_of(name) in sizes],
        [name for name in models if stem(name) in first],
    ):
        if mine and len(mine) < len(models):
            return [name for name in models if name not in mine]
    return []


def _our_sizes(read: ReadProse) -> set[float]:
    """``our two 7B runs``: the sizes that the authors call theirs."""
    found = set()
    for index, item in enumerate(read.items):
        if item.text.lower() in ("our", "ours"):
            near = read.items[index + 1 : index + 5]
            found |= {
                i.value for i in near if isinstance(i, Figure) and i.scale in ("b", "m", "t", "billion", "million")
            }
    return found


def _take_row(row: Row, cast: Cast, runs: dict[str, Run], found: Division) -> None:
    """The figures of one row of a table."""
    other = next((name for name in cast.others if same_name(name, row.name)), None) if row.name else None
    name = cast.run(row.name) if row.name and other is None else None
    for order, entry in enumerate(row.entries):
        quote = f"{row.name} · {entry.quote}" if row.name else entry.quote
        placed = Placed(
            -1 - order,
            entry.figure,
            NO_SENTENCE,
            entry.place,
            "",
            False,
            "",
            quote,
            entry.line,
            row.name,
            order,
            entry.text,
        )
        if other is not None or entry.aside:
            found.aside.append((placed, f"belongs to {other}" if other else entry.aside))
        elif row.total:
            _run(runs, "total").entries.append(placed)
        elif name is not None:
            _run(runs, name).entries.append(placed)
            _run(runs, name).accelerator = _run(runs, name).accelerator or row.accelerator
        else:
            found.shared.append(placed)


def _run(runs: dict[str, Run], name: str) -> Run:
    return runs.setdefault(
        name, Run(name if name != "total" else "all together", "total" if name == "total" else "own")
    )


def _take(entry: Placed, owner: Owner, runs: dict[str, Run], found: Division) -> None:
    """A figure of the prose."""
    if owner.kind == "other":
        found.aside.append((entry, f"belongs to {owner.name}"))
    elif (
        owner.kind == "side"
        and (owner.name not in OF_MACHINES_ALONE or entry.place.quantity in MACHINES)
        and _is_checked(entry)
    ):
        found.aside.append((entry, f"about {owner.name}"))
    elif owner.kind == "own":
        _run(runs, owner.name).entries.append(entry)
    elif owner.kind == "total":
        _run(runs, "total").entries.append(entry)
    else:
        found.shared.append(entry)


def _is_checked(entry: Placed) -> bool:
    return QUANTITIES[entry.place.quantity].checked


def value_of(entry: Placed) -> float:
    """A figure in the unit of its quantity."""
    return entry.figure.value * unit_factor(entry.place.quantity, entry.figure)


def _settle(runs: dict[str, Run], found: Division, main: str) -> None:
    """One run, or several: names without figures of a run join the others."""
    own = [run for name, run in runs.items() if name != "total"]
    real = [run for run in own if any(e.place.quantity in RUN_QUANTITIES and not e.scope for e in run.entries)]
    total = runs.get("total")
    if len(real) < 2:
        merged = Run(real[0].name if real else main)
        merged.accelerator = real[0].accelerator if real else None
        kept = {id(run) for run in real}
        for run in own:
            if id(run) in kept or not real or same_name(run.name, merged.name) or stem(run.name) == stem(merged.name):
                merged.entries += run.entries
            else:
                found.aside += [(entry, f"belongs to {run.name}") for entry in run.entries]
        merged.entries += found.shared + (total.entries if total else [])
        merged.entries.sort(key=_place_in_text)
        found.runs, found.shared = [merged], []
        return
    found.runs = real
    for run in own:
        if run not in real:
            found.shared += run.entries
    totals = total.entries if total else []
    kept_shared: list[Placed] = []
    for entry in found.shared:
        (totals if _is_sum(entry, real) else kept_shared).append(entry)
    found.shared = kept_shared
    sums = [entry for entry in totals if entry.place.quantity in SUMS]
    found.shared += [entry for entry in totals if entry.place.quantity not in SUMS]
    if sums:
        found.runs.append(Run("all together", "total", sums))


def _place_in_text(entry: Placed) -> tuple[int, int]:
    return entry.line, max(entry.index, entry.order)


def _is_sum(entry: Placed, runs: Sequence[Run]) -> bool:
    """An unnamed amount that is larger than that of every run is the sum of them."""
    if entry.place.quantity not in ("gpu_hours", "energy", "carbon", "cost", "node_hours"):
        return False
    parts = [value_of(e) for run in runs for e in run.entries if e.place.quantity == entry.place.quantity]
    return len(parts) >= 2 and value_of(entry) > 1.02 * max(parts)


def _by_items(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """Items of one list, or sections under headings, that give different values of what a run has once are runs of their own."""
    blocks = read.prose.blocks
    held: dict[int, list[int]] = {}
    for number, entry in enumerate(read.placed):
        if owners[number].kind in ("", "total") and not entry.scope:
            held.setdefault(read.prose.block(entry.figure.start), []).append(number)
    for group, name_of in (*_lists(blocks), *_sections(blocks)):
        parts = [(part, [n for block in part for n in held.get(block, []) if owners[n] == NOBODY]) for part in group]
        clash = _clash(read, [numbers for _, numbers in parts])
        if not clash:
            continue
        used: dict[str, int] = {}
        for part, numbers in parts:
            if not any(read.placed[n].place.quantity in clash for n in numbers):
                continue
            name = name_of(part[0])
            used[name] = used.get(name, 0) + 1
            _name_part(read, owners, numbers, name if used[name] == 1 else f"{name} ({used[name]})", cast)
    return owners


def _name_part(read: ReadProse, owners: list[Owner], numbers: Sequence[int], name: str, cast: Cast) -> None:
    """The figures of one item become a run; a second leg in it ("followed by 194k steps") one more."""
    seen: dict[str, float] = {}
    leg = 1
    for n in numbers:
        entry = read.placed[n]
        quantity, value = entry.place.quantity, value_of(entry)
        if quantity in CLASHING and quantity in seen and not _alike(seen[quantity], value):
            before = " ".join(item.text.lower() for item in read.items[max(entry.index - 6, 0) : entry.index])
            if "followed" in before or "then" in before or "another" in before:
                leg += 1
        seen[quantity] = value
        full = name if leg == 1 else f"{name}, leg {leg}"
        owners[n] = Owner("own", full)
        if full not in cast.own:
            cast.own.append(full)


Group = tuple[list[list[int]], Callable[[int], str]]


def _lists(blocks: Sequence[Block]) -> Iterator[Group]:
    """Items that stand together on one level, each with what stands under it."""
    group: list[list[int]] = []
    depth = 0
    for index in range(len(blocks) + 1):
        block = blocks[index] if index < len(blocks) else None
        if block is not None and block.kind == "item" and group and block.depth > depth:
            group[-1].append(index)
        elif block is not None and block.kind == "item" and (not group or block.depth == depth):
            group.append([index])
            depth = block.depth
        else:
            if len(group) > 1:
                yield group, lambda at: _item_name(blocks[at].text)
            group = [[index]] if block is not None and block.kind == "item" else []
            depth = block.depth if block is not None else 0


def _sections(blocks: Sequence[Block]) -> Iterator[Group]:
    """Sections under headings of one level."""
    levels = {block.depth for block in blocks if block.kind == "heading"}
    for level in sorted(levels):
        group: list[list[int]] = []
        for index, block in enumerate(blocks):
            if block.kind == "heading" and block.depth == level:
                group.append([index])
            elif group:
                group[-1].append(index)
        if len(group) > 1:
            yield group, lambda at: blocks[at].text[:60]


def _item_name(text: str) -> str:
    """``[Stage 1] 24k steps ...`` -> ``Stage 1``; ``sd-v1-1.ckpt: ...`` -> ``sd-v1-1.ckpt``; else its first words."""
    bracket = re.match(r"\s*[\[(]([^\])\n]{1,40})[\])]", text)
    if bracket:
        return bracket[1].strip()
    label = re.match(r"\s*([^:\n]{1,48}?)\s*(?::|–|—|,)\s", text)
    return label[1].strip() if label else " ".join(text.split()[:4])


def _clash(read: ReadProse, parts: Sequence[Sequence[int]]) -> set[str]:
    """The quantities that two parts give different values of."""
    clash = set()
    for quantity in CLASHING:
        values = [
            value_of(read.placed[n])
            for numbers in parts
            for n in numbers[:40]
            if read.placed[n].place.quantity == quantity
        ]
        owners = sum(any(read.placed[n].place.quantity == quantity for n in numbers) for numbers in parts)
        if owners > 1 and any(not _alike(values[0], value) for value in values):
            clash.add(quantity)
    return clash


def _alike(a: float, b: float) -> bool:
    return a == b or (a > 0 and b > 0 and abs(math.log(a / b)) < 0.03)


def _with_lists(read: ReadProse, owners: list[Owner], cast: Cast) -> list[Owner]:
    """``60.1, 50.2 and 44.4 seconds, in this order``: lists of one length are zipped into runs."""
    lists: dict[int, list[list[int]]] = {}
    at = 0
    while at < len(read.placed):
        run = [at]
        while run[-1] + 1 < len(read.placed) and _goes_on(read, run[-1]):
            run.append(run[-1] + 1)
        if len(run) > 1:
            lists.setdefault(read.prose.block(read.placed[at].figure.start), []).append(run)
        at = run[-1] + 1
    for block, found in lists.items():
        text = read.prose.blocks[block].text.lower()
        if not holds(text, IN_ORDER):
            continue
        length = max((len(run) for run in found), key=lambda size: sum(len(run) == size for run in found))
        zipped = [run for run in found if len(run) == length]
        named = [name for name in cast.own if all(word in text for word in words_of(name))]
        names = (
            named
            if len(named) == length
            else [
                read.placed[n].text if not read.placed[n].figure.word else _counted(read.placed[n]) for n in zipped[0]
            ]
        )
        if len(zipped) < 2 and len(named) != length:
            continue
        for run in zipped:
            for n, name in zip(run, names, strict=True):
                owners[n] = Owner("own", name)
        cast.own += [name for name in names if name not in cast.own]
    return owners


def _counted(entry: Placed) -> str:
    return f"{entry.figure.digits} {entry.figure.word}"


def _goes_on(read: ReadProse, at: int) -> bool:
    """Whether the next placed figure continues a list of the same quantity."""
    one, two = read.placed[at], read.placed[at + 1]
    between = [item.text.lower() for item in read.items[one.index + 1 : two.index]]
    alike = one.place.quantity == two.place.quantity and one.sentence is two.sentence
    return alike and 0 < len(between) <= 2 and all(word in LIST_WORDS for word in between)
