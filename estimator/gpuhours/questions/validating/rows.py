"""Measured runs as rows of a CSV table; cells are kept as text, including blanks."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_table_text, read_yaml
from gpuhours.software.matching import under
from gpuhours.software.profile import load_software

UNSAID = frozenset({"", "nan", "none stated", "not stated", "unknown", "n/a", "-", "?"})
"""Texts of cells that say nothing."""
YES = frozenset({"1", "1.0", "yes", "y", "true", "on", "enabled"})
NO = frozenset({"0", "0.0", "no", "n", "false", "off", "disabled", "none"})
"""Texts of cells for yes and no."""
SMALLEST, LARGEST = 1e-9, 1e40
"""Range of plausible step times and memory."""
TABLES = ("runs.csv", "framework_runs.csv", "nanotron_bench.csv")
"""Measured steps included in gpuhours, in ``published``."""
OUT_OF_MEMORY = "out of memory"
"""The ``status`` of a layout that did not run."""
NEEDED = ("seq_len", "global_batch")
"""Columns required in a table of runs."""
ALSO_READ = frozenset({
    "attention_kernel", "expert_capacity", "gpu", "method", "modality", "model", "nodes_interconnect", "notes", "outcome",
    "precision", "predicted_blind_s", "recompute", "source", "stage_layers", "status", "zero_stage",
})  # fmt: skip
"""Columns that are used although no included table has them."""


@dataclass(frozen=True)
class Row:
    """One measured run. A blank cell, a missing column and text in place of a number all give None."""

    cells: Mapping[str, str]
    line: int

    @property
    def id(self) -> str:
        """The row's name, or its line if it has none."""
        return self.word("id") or f"line {self.line}"

    def word(self, column: str) -> str | None:
        """The text of a cell."""
        return self._words.get(column)

    @cached_property
    def _words(self) -> Mapping[str, str]:
        """Column -> text of every cell that says something."""
        texts = {column: cell.strip() for column, cell in self.cells.items() if cell}
        return {column: text for column, text in texts.items() if text.lower() not in UNSAID}

    def number(self, column: str) -> float | None:
        """The number in a cell."""
        text = self.word(column)
        if text is None:
            return None
        try:
            value = float(text.replace(",", ""))
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    def flag(self, column: str) -> bool | None:
        """Whether a cell says yes (1, yes, True, on) or no (0, no, False, off); None if neither.

        >>> Row({"lora": "True"}, 2).flag("lora")
        True
        """
        text = (self.word(column) or "").lower()
        return True if text in YES else False if text in NO else None

    def positive(self, column: str) -> float | None:
        """The number in a cell if above 0 and plausible for a run."""
        value = self.number(column)
        return value if value is not None and SMALLEST <= value <= LARGEST else None

    def over(self, network: str) -> Row:
        """The same row with its nodes joined by a network, named as in ``hardware_specs/networks``."""
        return replace(self, cells={**self.cells, "network": network.replace("-p5", " p5")})

    @property
    def failed(self) -> bool:
        """Whether it ran out of memory: scored as a prediction of memory, not of a step."""
        return (self.word("status") or self.word("outcome") or "").lower() == OUT_OF_MEMORY

    @property
    def doubted(self) -> str | None:
        """Why the row is not scored: the column ``check``, or "check: ..." in the notes; None if neither is there."""
        noted = re.search(r"check:\s*([^;|]*)", self.word("notes") or "")
        return self.word("check") or (noted[1].strip() or "its notes" if noted else None)

    @property
    def seconds(self) -> float | None:
        """Measured step time, otherwise derived from the rate: batch x length / (rate x accelerators)."""
        stated = self.positive("step_time_s")
        if stated is not None:
            return stated
        rate, gpus = self.positive("tokens_per_s_per_gpu"), self.positive("gpus")
        batch, length = self.positive("global_batch"), self.positive("seq_len")
        if rate is None or gpus is None or batch is None or length is None:
            return None
        return batch * length / (rate * gpus)


def out_of_memory_runs() -> Path:
    """Layouts that their sources report as out of memory."""
    return Path(str(files("gpuhours"))) / "published" / "out_of_memory.csv"


def published_runs() -> tuple[Path, ...]:
    """The tables of measured runs included in gpuhours."""
    folder = Path(str(files("gpuhours"))) / "published"
    return tuple(folder / name for name in TABLES)


def described_runs() -> tuple[Path, ...]:
    """The files of measured runs included in gpuhours that do not fit a table."""
    return tuple(sorted((Path(str(files("gpuhours"))) / "published" / "described").glob("*.yaml")))


def described_stacks() -> frozenset[tuple[str, str]]:
    """(software profile, source title) of every run in those files that names its stack."""
    names = set()
    for path in described_runs():
        table = read_yaml(path).data
        title = str(table["title"])
        stacks = [row.get("run", {}).get("software") or table.get("run", {}).get("software") for row in table["rows"]]
        names |= {(under(title, name) or load_software(name).name, title) for name in stacks if name}
    return frozenset(names)


@cache
def measured_rows() -> tuple[Row, ...]:
    """The rows of all tables of measured runs included in gpuhours."""
    return tuple(row for table in published_runs() for row in read_rows(table))


@cache
def known_columns() -> frozenset[str]:
    """Every column that is used."""
    names = set(ALSO_READ)
    for path in published_runs():
        with path.open(encoding="utf-8-sig", newline="") as table:
            names |= {name.strip() for name in next(csv.reader(table))}
    return frozenset(names)


def unread_columns(rows: Iterable[Row]) -> tuple[str, ...]:
    """Columns with content that are not used, in order."""
    said = dict.fromkeys(name for row in rows for name, cell in row.cells.items() if cell.strip())
    return tuple(name for name in said if name.strip() not in known_columns())


def read_rows(path: Path | str) -> tuple[Row, ...]:
    """Every row of a CSV file; see ``unread_columns`` for unused columns."""
    reader = csv.DictReader(io.StringIO(read_table_text(path), newline=""))
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        missing = [name for name in NEEDED if name not in columns]
        if missing:
            raise EstimateError(
                f"has no column {missing[0]!r}.",
                "The first line names the columns; see `gpuhours validate --help`.",
                str(path),
            )
        return tuple(
            Row({k: v for k, v in cells.items() if isinstance(v, str)}, line) for line, cells in enumerate(reader, 2)
        )
    except csv.Error as error:
        raise EstimateError(f"is not a CSV file: {error}.", "", str(path)) from None
