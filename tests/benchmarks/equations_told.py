"""Write texts with just the figures of one equation, sound and with its result off by a factor, and count which are called.

``python -m tests.benchmarks.equations_told [--list]`` takes every equation between the figures of a run that its text can state, writes
its figures down in five forms (two voices of sentences, one sentence, a list, sentences among other matter), and multiplies the result by
1.3, 2, 10 and 1000 and divides by them. Sound texts must not be called. A result that stops or conventions may excuse is not called below
the factor of ``Told.least``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONTRADICTED
from tests.benchmarks.accused import AROUND, WORDINGS, Wording, _w, count, mwh, scaled, whole
from tests.benchmarks.mistakes import AMPERE, EXPERTS, HOPPER, HOUR, Run

MORE: Mapping[str, Wording] = {
    "samples": _w(count, "In all {} sequences were processed.", "The model saw {} samples.", "Samples seen", "", "Samples seen"),
    "node_hours": _w(whole, "That is {} node-hours.", "The account shows {} node hours.", "Node-hours", "", "Node-hours"),
    "pipeline": _w(whole, "Pipeline parallelism was {}-way.", "The pipeline-parallel size was {}.", "Pipeline parallel size", "", "PP"),
    "microbatch": _w(whole, "The micro-batch was {} sequences.", "The micro-batch size was {}.", "Micro-batch size", "", "Micro-batch"),
    "steps_per_second": _w(scaled(1.0, 3), "We made {} steps per second.", "The speed was {} steps/s.", "Speed", " steps/s", "Steps/s"),
    "epoch_time": _w(scaled(HOUR, 4), "An epoch took {} hours.", "Each epoch lasted {} hours.", "Time per epoch", " hours",
                     "Hours per epoch"),
    "samples_per_second": _w(scaled(1.0, 4), "Throughput was {} sequences per second.", "We processed {} samples/s.", "Throughput",
                             " samples/s", "Samples/s"),
    "tokens_per_second_per_node": _w(whole, "Every node processed {} tokens per second.", "Throughput was {} tokens/s per node.",
                                     "Throughput", " tokens/s/node", "Tokens/s/node"),
    "flops_per_second": _w(scaled(1e15, 4), "The machine sustained {} PFLOP/s.", "Aggregate throughput was {} PFLOP/s.",
                           "Achieved", " PFLOP/s in total", "PFLOP/s"),
    "it_energy": _w(mwh, "The accelerators alone consumed {} MWh.", "GPU energy, before PUE, was {} MWh.", "IT energy", " MWh",
                    "IT energy (MWh)"),
    "power": _w(scaled(1e3), "The whole cluster drew {} kW.", "Average power of the machine was {} kW.", "Power of the cluster", " kW",
                "Power (kW)"),
    "trainable_parameters": _w(count, "{} parameters are trainable.", "We train {} of the parameters.", "Trainable parameters", "",
                               "Trainable params"),
    "trainable_share": _w(scaled(0.01, 3), "That is {}% of all parameters.", "{} % of the parameters are trainable.",
                          "Trainable share", "%", "Trainable (%)"),
    "dataset_samples": _w(count, "The data set has {} documents.", "We have {} training samples.", "Data set", " samples", "Samples"),
    "peak_flops": _w(scaled(1e12, 4), "The peak of the card is {} TFLOP/s.", "Each GPU has a peak of {} TFLOP/s.", "Peak", " TFLOP/s",
                     "Peak (TFLOP/s)"),
    "hfu": _w(scaled(0.01, 3), "The HFU was {}%.", "Hardware FLOPs utilisation was {} %.", "HFU", "%", "HFU (%)"),
}  # fmt: skip
WRITTEN = {**WORDINGS, **MORE}
FACTORS = (1.3, 2.0, 10.0, 1000.0)


def every_figure(run: Run) -> dict[str, float]:
    """Return the figures of a run, also those that only some texts give."""
    f = run.figures()
    return f | {
        "samples": f["tokens"] / f["seq_len"], "steps_per_second": 1 / f["step_time"], "epoch_time": f["wall_clock"] / f["epochs"],
        "samples_per_second": f["global_batch"] / f["step_time"], "tokens_per_second_per_node": 8 * f["tokens_per_second_per_gpu"],
        "flops_per_second": f["gpus"] * f["flops_per_second_per_gpu"], "it_energy": f["gpu_hours"] * f["gpu_power"],
        "power": f["gpus"] * f["gpu_power"] * f["pue"], "trainable_parameters": 0.02 * f["parameters"], "trainable_share": 0.02,
        "pipeline": 2.0, "peak_flops": run.peak, "data_parallel": f["gpus"] / 8, "accumulation": f["global_batch"] / (f["gpus"] / 8) / 2,
        "hfu": f["mfu"] * 4 / 3,
    }  # fmt: skip


@dataclass(frozen=True)
class Told:
    """An equation: its result, the figures it is computed from, and the least factor by which a wrong result must be called."""

    result: str
    terms: tuple[str, ...]
    least: float = 1.3
    runs: tuple[Run, ...] = (HOPPER, AMPERE)

    @property
    def name(self) -> str:
        """The equation in words."""
        return f"{self.result} from {', '.join(self.terms)}"


def _t(result: str, terms: str, least: float = 1.3, runs: tuple[Run, ...] = (HOPPER, AMPERE)) -> Told:
    return Told(result, tuple(terms.split()), least, runs)


STOPS = 2.0
"""Stops and restarts of published runs lengthen the time by up to 1.6."""
EQUATIONS = (
    _t("gpu_hours", "gpus wall_clock"), _t("wall_clock", "gpus gpu_hours"), _t("gpus", "wall_clock gpu_hours"),
    _t("gpu_hours", "nodes gpus_per_node wall_clock"), _t("gpus", "nodes gpus_per_node"), _t("node_hours", "nodes wall_clock"),
    _t("gpu_hours", "node_hours gpus_per_node"), _t("gpus", "tensor pipeline data_parallel"),
    _t("tokens", "steps global_batch_tokens"), _t("steps", "tokens global_batch_tokens"),
    _t("tokens", "steps global_batch seq_len"), _t("steps", "tokens global_batch seq_len"),
    _t("global_batch", "tokens steps seq_len"), _t("seq_len", "tokens steps global_batch"),
    _t("global_batch_tokens", "global_batch seq_len"), _t("tokens", "dataset_tokens epochs"), _t("samples", "steps global_batch"),
    _t("global_batch", "data_parallel microbatch accumulation"), _t("wall_clock", "steps step_time", STOPS),
    _t("steps", "wall_clock step_time", STOPS), _t("step_time", "wall_clock steps", STOPS),
    _t("steps_per_second", "steps wall_clock", STOPS), _t("wall_clock", "epochs epoch_time"),
    _t("samples_per_second", "global_batch step_time"), _t("step_time", "steps_per_second"),
    _t("tokens_per_second", "global_batch seq_len step_time"), _t("tokens_per_second", "global_batch_tokens step_time"),
    _t("tokens_per_second", "gpus tokens_per_second_per_gpu"), _t("tokens_per_second", "nodes tokens_per_second_per_node"),
    _t("tokens", "tokens_per_second wall_clock", STOPS), _t("tokens", "tokens_per_second_per_gpu gpu_hours", STOPS),
    _t("gpu_hours", "tokens tokens_per_second_per_gpu", STOPS), _t("wall_clock", "tokens tokens_per_second", STOPS),
    _t("model_flops", "parameters tokens"), _t("mfu", "parameters tokens gpu_hours gpus", STOPS),
    _t("mfu", "parameters tokens gpus wall_clock", STOPS), _t("mfu", "parameters gpus tokens_per_second_per_gpu"),
    _t("mfu", "flops_per_second_per_gpu gpus"), _t("flops_per_second_per_gpu", "mfu gpus"),
    _t("flops_per_second", "gpus flops_per_second_per_gpu"), _t("flops_per_second_per_gpu", "parameters gpus tokens_per_second_per_gpu"),
    _t("model_flops", "flops_per_second_per_gpu gpus wall_clock", STOPS), _t("model_flops", "mfu gpus gpu_hours", STOPS),
    _t("mfu", "model_flops gpus gpu_hours", STOPS), _t("tokens", "parameters gpus gpu_hours mfu", STOPS),
    _t("parameters", "tokens gpus gpu_hours mfu", STOPS), _t("gpu_hours", "parameters tokens gpus mfu", STOPS),
    _t("model_flops", "active_parameters parameters tokens", runs=(EXPERTS,)),
    _t("energy", "gpu_hours gpu_power pue"), _t("energy", "it_energy pue"), _t("it_energy", "gpu_hours gpu_power"),
    _t("energy", "gpus wall_clock gpu_power pue"), _t("power", "gpus gpu_power pue"), _t("gpu_power", "gpu_hours it_energy"),
    _t("carbon", "energy carbon_intensity"), _t("carbon_intensity", "energy carbon"),
    _t("carbon", "gpu_hours gpu_power pue carbon_intensity"), _t("cost", "gpu_hours price"), _t("price", "gpu_hours cost"),
    _t("cost", "gpus wall_clock price"), _t("cost", "node_hours node_price"), _t("cost", "nodes wall_clock node_price"),
    _t("node_price", "gpus_per_node price"), _t("peak_flops", "gpus wall_clock"),
    _t("trainable_parameters", "parameters trainable_share"),
)  # fmt: skip


def in_sentences(run: Run, figures: Mapping[str, float], voice: int = 0) -> str:
    """Write every figure in a sentence of its own."""
    said = [
        WRITTEN[name].sentences[voice].replace("{card}", run.card).format(WRITTEN[name].number(value))
        for name, value in figures.items()
    ]
    return " ".join([*said, *([] if "gpus" in figures else [f"All of this ran on {run.card} GPUs."])])


def in_one(run: Run, figures: Mapping[str, float]) -> str:
    """Write all figures in one sentence."""
    parts = [
        sentence[:-1]
        for sentence in (
            in_sentences(run, {name: value}).split(". All of this")[0].rstrip(".") + "."
            for name, value in figures.items()
        )
    ]
    parts = [
        part if n == 0 else part[0].lower() + part[1:] if not part.startswith(("MFU", "PUE", "GPU")) else part
        for n, part in enumerate(parts)
    ]
    return ", and ".join([", ".join(parts[:-1]), parts[-1]]) + ("." if "gpus" in figures else f", on {run.card} GPUs.")


def in_a_list(run: Run, figures: Mapping[str, float]) -> str:
    """Write a line a figure."""
    lines = [
        f"- {WRITTEN[name].label}: {WRITTEN[name].number(value)}{WRITTEN[name].unit.replace('{card}', run.card)}"
        for name, value in figures.items()
    ]
    return "## Wagtail\n\n" + "\n".join([*lines, *([] if "gpus" in figures else [f"- Hardware: {run.card}"])])


def among_others(run: Run, figures: Mapping[str, float], number: int = 0) -> str:
    """Write sentences with other matter behind them."""
    return in_sentences(run, figures, 1) + "\n\n" + " ".join(AROUND[(number + more) % len(AROUND)] for more in (0, 3))


FORMS: Mapping[str, Callable[[Run, Mapping[str, float]], str]] = {
    "sentences": in_sentences,
    "other voice": lambda run, figures: in_sentences(run, figures, 1),
    "one sentence": in_one,
    "list": in_a_list,
    "among others": among_others,
}


@dataclass(frozen=True)
class Outcome:
    """A text of one equation with its result off by ``factor``, and what was said of it."""

    told: Told
    form: str
    factor: float
    text: str
    check: PaperCheck
    possible: bool = True
    """Whether the result lies in the range of its quantity."""

    @property
    def called(self) -> bool:
        """Whether the text is called contradicted."""
        return self.check.verdict == CONTRADICTED

    @property
    def due(self) -> bool:
        """Whether the result is so far off that the text must be called, and still one that the quantity can have."""
        return max(self.factor, 1 / self.factor) >= self.told.least and self.possible

    @property
    def read(self) -> bool:
        """Whether every figure of the equation was placed in one of the runs."""
        names = {claim.claim.measured for run in self.check.runs for claim in run.claims}
        return {self.told.result, *self.told.terms} <= names


def outcomes(forms: tuple[str, ...] = tuple(FORMS), factors: tuple[float, ...] = FACTORS) -> Iterator[Outcome]:
    """Check every text: sound, and with its result multiplied and divided by each factor."""
    for number, told in enumerate(EQUATIONS):
        run = told.runs[number % len(told.runs)]
        figures = every_figure(run)
        stated = {name: figures[name] for name in (*told.terms, told.result)}
        for form in forms:
            for factor in (1.0, *factors, *(1 / factor for factor in factors)):
                text = FORMS[form](run, stated | {told.result: factor * stated[told.result]})
                meant = QUANTITIES[told.result]
                value = factor * stated[told.result]
                possible = meant.least <= value <= meant.most and not (meant.whole and value < 1)
                yield Outcome(told, form, factor, text, check_paper(read_paper(text)), possible)


def main() -> None:
    """Print a line an equation, and with ``--list`` every text that was misjudged."""
    totals: Counter[str] = Counter()
    by_equation: dict[str, Counter[str]] = {}
    missed: dict[str, list[str]] = {}
    for one in outcomes():
        counts = by_equation.setdefault(one.told.name, Counter())
        kind = "sound" if one.factor == 1 else "due" if one.due else "open"
        for counter in (counts, totals):
            counter[kind] += 1
            counter[f"{kind} called"] += one.called
            counter[f"{kind} unread"] += not one.read and not one.called
            counter[f"{one.form} {kind}"] += 1
            counter[f"{one.form} {kind} called"] += one.called
        if one.called != (kind == "due") and kind != "open":
            doubts = [doubt.condition for run in one.check.runs for doubt in run.doubts]
            missed.setdefault(one.told.name, []).append(
                f"    {one.form} x {one.factor:.4g}: {one.check.verdict}{'' if one.read else ' (not read)'} {doubts}"
            )
    for name, counts in by_equation.items():
        said = f"{counts['due called']:3} of {counts['due']:3} called, {counts['due unread']} not read"
        print(f"{name:75} {said}; sound {counts['sound called']} called")
        if "--list" in sys.argv:
            print("\n".join(missed.get(name, [])))
    for form in FORMS:
        print(
            f"{form}: {totals[f'{form} due called']} of {totals[f'{form} due']}; sound {totals[f'{form} sound called']} called"
        )
    print(
        f"all: {totals['due called']} of {totals['due']} called, {totals['due unread']} not read; sound {totals['sound called']} called"
    )


if __name__ == "__main__":
    main()
