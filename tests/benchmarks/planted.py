"""Plant mistakes in consistent texts and rows, and count how many are found, left open or missed.

``python -m tests.benchmarks.planted [FOLDER...]`` multiplies one figure of a clean text at a time, wherever the text states it, and checks
the text again. It uses the texts of the tests unless folders are given. "Found" means a contradiction, "open" a doubt or a verdict that is
not "consistent"; all others are missed. Many mistakes cannot be found because nothing else in the text depends on the figure.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.formats.files import read_file
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.reconciling.witness import predicted_mfu
from gpuhours.questions.checking.table import read_rows
from gpuhours.questions.checking.verdict import check_paper, check_table
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED

TEXTS = Path(__file__).parents[1] / "texts"
ROWS = Path(str(files("gpuhours") / "published" / "run_totals.csv"))
MISTAKES = (
    ("gpus", 8.0),
    ("parameters", 1e-3),
    ("gpu_hours", 10.0),
    ("wall_clock", 10.0),
    ("tokens", 10.0),
    ("tokens", 0.1),
)
COLUMNS = {
    "gpus": "gpus",
    "parameters": "params_b",
    "gpu_hours": "gpu_hours",
    "wall_clock": "days",
    "tokens": "tokens_b",
}
NUMERAL = re.compile(r"\d[\d,]*(?:\.\d+)?")


def planted(text: str, figure: str, value: float, factor: float) -> str | None:
    """Return the text with a figure multiplied at every occurrence; None if the figure is not written as a single numeral."""
    found = list(NUMERAL.finditer(figure))
    numeral = found[0] if len(found) == 1 else next((n for n in found if float(n[0].replace(",", "")) == value), None)
    if numeral is None:
        return None
    wrong = float(numeral[0].replace(",", "")) * factor
    written = f"{wrong:,.0f}" if wrong >= 1000 and "," in numeral[0] else f"{wrong:.12g}"
    words = figure[: numeral.start()] + written + figure[numeral.end() :]
    again = re.sub(rf"(?<![\d.,]){re.escape(figure)}(?!\d)", words, text)
    return again if again != text and "e" not in written else None


def in_texts(folder: Path) -> Iterator[tuple[str, float, str]]:
    """Yield (quantity, factor, outcome) for every mistake planted in a folder of texts."""
    for path in sorted(folder.glob("*.txt")):
        text = read_file(path)
        before = checked(text, path)
        if before.contradictions:
            continue
        for quantity, factor in MISTAKES:
            for figure, value in {(c.claim.text, c.claim.value) for c in before.claims if c.claim.quantity == quantity}:
                wrong = planted(text, figure, value, factor)
                if wrong is not None:
                    yield quantity, factor, outcome(checked(wrong, path))


def checked(text: str, path: Path) -> PaperCheck:
    """Check a text under the name of a file."""
    return check_paper(read_paper(text, path.name, path.suffix), predicted_mfu)


def outcome(again: PaperCheck) -> str:
    """Classify the check of a text with a planted mistake."""
    doubts = any(run.doubts for run in again.runs)
    return "found" if again.contradictions else "open" if doubts or again.verdict != CONSISTENT else "acquitted"


def in_rows() -> Iterator[tuple[str, float, str]]:
    """Yield the same for the table of published runs, changing one cell at a time."""
    rows = read_rows(ROWS)
    clean = [row for row, run in zip(rows, check_table(rows, "").runs, strict=True) if run.verdict != CONTRADICTED]
    for quantity, factor in MISTAKES:
        column = COLUMNS[quantity]
        wrong = [{**row, column: f"{float(row[column]) * factor:.12g}"} for row in clean if row[column]]
        for run in check_table(wrong, "").runs:
            found = run.verdict == CONTRADICTED
            yield quantity, factor, "found" if found else "acquitted" if run.verdict == CONSISTENT else "open"


def main() -> None:
    """Print one table for texts and one for rows."""
    folders = [Path(name) for name in sys.argv[1:]] or [TEXTS]
    for name, results in [*((str(folder), in_texts(folder)) for folder in folders), (ROWS.name, in_rows())]:
        counts = Counter(results)
        print(name)
        for quantity, factor in MISTAKES:
            found, opened, cleared = (counts[quantity, factor, what] for what in ("found", "open", "acquitted"))
            total = found + opened + cleared
            print(
                f"  {quantity:12} x {factor:<6g} {found:3} of {total:3} found, {opened:3} open, {cleared:3} acquitted"
            )


if __name__ == "__main__":
    main()
