"""Lowest error to expect for published GPU-hours from the inputs of ``--given usual``: purely statistical predictors, and similar runs.

    python -m tests.benchmarks.floor

``smoothed``: predicts ln of the share of the dense peak that a run's hours imply, by a Gaussian process over year, parameters and
accelerators, with terms for kind and card (Rasmussen and Williams 2006, equation 2.25), leaving out each organisation or only the run.
Its constants were chosen on all rows, which favours it. ``nearest``: the median of the k nearest runs of other organisations.
``alike``: pairs of runs with the same organisation, year, size, card and number of accelerators, whose difference therefore cannot be
predicted from these inputs.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from gpuhours.inputs.durations import HOUR
from gpuhours.questions.validating.totals import JudgedTotals, validate_totals

Floats = NDArray[np.float64]
LENGTHS = np.array([1.0, 1.0, 2.4])
"""Length scales of the process: years, ln parameters, ln accelerators (0.5, 0.3 and 1 standard deviation of the rows)."""
SHARED, KIND, CARD, SMOOTH, ORGANISATION, RUN = 1.0, 0.13, 0.29, 0.38, 0.11, 0.31
"""Standard deviations of the common offset, of kinds, of cards, of the smooth part, of organisations and of a single run."""


class Rows:
    """The inputs that a predictor may use, and the targets that it is judged on."""

    def __init__(self, judged: list[JudgedTotals]) -> None:
        found = [one.raw.found for one in judged]
        self.judged = judged
        self.hours = np.array([one.raw.published for one in judged], float)
        self.target = np.log([one.raw.model_flops / (one.raw.published or 1) / HOUR / one.raw.peak for one in judged])
        self.organisation = np.array([one.raw.organisation for one in judged])
        self.kind = np.array([one.kind if one else "" for one in found])
        self.card = np.array([str(one.raw.row.word("gpu"))[:4] for one in judged])
        sizes = [
            float(np.max(one.outcome.resolved.model.active_parameters))
            for one in found
            if one and one.outcome.resolved.model
        ]
        gpus = [
            float(np.max(one.outcome.resolved.cluster.gpus)) for one in found if one and one.outcome.resolved.cluster
        ]
        self.x = np.stack([[one.year for one in found if one], np.log(sizes), np.log(gpus)], 1).astype(float)

    def covariance(self) -> Floats:
        """Return the covariance of the rows, ``[rows, rows]``, without the variance of single runs."""
        apart = (self.x[:, None] - self.x[None]) / LENGTHS
        same = {name: getattr(self, name)[:, None] == getattr(self, name) for name in ("kind", "card", "organisation")}
        smooth = SMOOTH**2 * np.exp(-0.5 * np.sum(apart**2, -1))
        found: Floats = (
            SHARED**2
            + KIND**2 * same["kind"]
            + CARD**2 * same["card"]
            + smooth
            + ORGANISATION**2 * same["organisation"]
        )
        return found

    def smoothed(self, groups: NDArray[np.str_]) -> Floats:
        """Return ln(published / predicted GPU-hours) of the Gaussian process, with the run's group left out."""
        inverse = np.linalg.inv(self.covariance() + RUN**2 * np.eye(len(self.target)))
        off = np.zeros(len(self.target))
        for out in set(groups):
            mine = np.flatnonzero(groups == out)
            off[mine] = np.linalg.solve(inverse[np.ix_(mine, mine)], (inverse @ self.target)[mine])
        return -off

    def nearest(self, count: int) -> Floats:
        """Return the same for predictions by the median of the ``count`` nearest runs of other organisations."""
        off = np.zeros(len(self.target))
        scaled = (self.x - self.x.mean(0)) / self.x.std(0)
        for row in range(len(off)):
            others = np.flatnonzero(self.organisation != self.organisation[row])
            apart = np.sum((scaled[others] - scaled[row]) ** 2, 1)
            apart += 4 * (self.kind[others] != self.kind[row]) + 2 * (self.card[others] != self.card[row])
            off[row] = np.median(self.target[others[np.argsort(apart)[:count]]]) - self.target[row]
        return off

    def alike(self) -> Floats:
        """Return the ratios between the shares of the peak of pairs of runs with the same inputs."""
        groups: dict[tuple[object, ...], list[float]] = defaultdict(list)
        for row, one in enumerate(self.judged):
            said = one.raw.row
            key = (
                self.organisation[row],
                self.kind[row],
                self.x[row, 0],
                round(20 * self.x[row, 1]),
                said.word("gpu"),
                said.word("gpus"),
            )
            groups[key].append(float(self.target[row]))
        return np.exp([abs(a - b) for shares in groups.values() for a, b in combinations(shares, 2)])


def line(name: str, off: Floats) -> str:
    """Format the median and mean error of predictions, and their bias."""
    errors = np.abs(np.expm1(-off))
    return (
        f"{name:44s} median {np.median(errors):4.0%}  mean {np.mean(errors):4.0%}  bias {np.expm1(np.mean(-off)):+4.0%}"
    )


def main() -> None:
    """Print the table."""
    rows = Rows([one for one in validate_totals().judged if one.error is not None and one.raw.found is not None])
    print(line("gpuhours, organisation left out", -np.log1p([one.error or 0.0 for one in rows.judged])))
    print(line("6 N D at 30 %", -np.log1p([one.baseline(0.3) for one in rows.judged])))
    print(line("smoothed, organisation left out", rows.smoothed(rows.organisation)))
    print(line("smoothed, the run alone left out", rows.smoothed(np.arange(len(rows.target)).astype(str))))
    for count in (3, 5, 8):
        print(line(f"nearest {count} of other organisations", rows.nearest(count)))
    pairs = rows.alike()
    print(
        f"{len(pairs)} pairs that say the same: a factor of {np.median(pairs):.2f} apart in the median, {np.mean(pairs):.2f} in the mean"
    )


if __name__ == "__main__":
    main()
