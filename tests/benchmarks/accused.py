"""Write known mistakes into prose, cards and tables, and count how many are called with their cause, and which sound texts are.

``python -m tests.benchmarks.accused [--list]`` writes each run of ``tests.benchmarks.mistakes`` down in three forms, with the mistake and
without. The sound text is also checked with other matter around it: a further stage, another paper's model, a run that is planned, an
attempt that was given up, a table of ablations. A contradiction in any of the sound texts is a false alarm.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED
from tests.benchmarks.mistakes import DAY, MISTAKES, Mistake, Run


def count(value: float) -> str:
    """Write a count with its scale, as texts do: ``1.5T``, ``31.4M``, ``256``."""
    for letter, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= scale:
            return f"{value / scale:.4g}{letter}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def whole(value: float) -> str:
    """Write a whole number with its digits: ``1,474,560``."""
    return f"{value:,.0f}"


def power_of_ten(value: float) -> str:
    """Write a large number as a power of ten: ``1.17e23``."""
    return f"{value:.2e}".replace("+", "")


def scaled(scale: float, digits: int = 4) -> Callable[[float], str]:
    """Return a writer of values in a unit of ``scale``."""
    return lambda value: (
        f"{value / scale:,.{digits}g}" if value / scale < 10 ** (digits - 1) else f"{value / scale:,.0f}"
    )


@dataclass(frozen=True)
class Wording:
    """How a quantity is printed: the number, the sentences (in two voices), a label with the unit behind the number, a column."""

    number: Callable[[float], str]
    sentences: tuple[str, str]
    label: str
    unit: str
    column: str


def _w(number: Callable[[float], str], one: str, other: str, label: str, unit: str, column: str) -> Wording:
    return Wording(number, (one, other), label, unit, column)


days, mwh, percent = scaled(DAY, 3), scaled(1e6), scaled(0.01, 3)
WORDINGS: Mapping[str, Wording] = {
    "parameters": _w(count, "Wagtail is a language model with {} parameters.", "Our model, Wagtail, has {} parameters.",
                     "Model size", " parameters", "Params"),
    "active_parameters": _w(count, "Of these, {} are active for each token.", "A router activates {} parameters per token.",
                            "Active parameters", "", "Active params"),
    "tokens": _w(count, "It was trained on {} tokens.", "In total it saw {} tokens during training.", "Tokens seen", "", "Tokens seen"),
    "dataset_tokens": _w(count, "The corpus holds {} tokens.", "Our data set amounts to {} tokens.", "Dataset size", " tokens",
                         "Dataset tokens"),
    "epochs": _w(count, "We train for {} epochs.", "The model goes over the data for {} epochs.", "Epochs", "", "Epochs"),
    "gpus": _w(whole, "We used {} {card} GPUs.", "The cluster had {} {card} GPUs.", "Hardware", " x {card}", "GPUs"),
    "wall_clock": _w(days, "Training took {} days.", "The run was finished after {} days.", "Training time", " days", "Days"),
    "gpu_hours": _w(whole, "This amounts to {} GPU-hours.", "The run consumed {} GPU hours.", "GPU hours", "", "GPU-hours"),
    "nodes": _w(whole, "The machine consisted of {} nodes.", "We ran on {} nodes.", "Nodes", "", "Nodes"),
    "gpus_per_node": _w(whole, "Each node has {} GPUs.", "There are {} GPUs in a node.", "GPUs per node", "", "GPUs/node"),
    "mfu": _w(percent, "The MFU was {}%.", "We reached a model FLOPs utilisation of {} %.", "MFU", "%", "MFU (%)"),
    "model_flops": _w(power_of_ten, "Training took {} FLOPs.", "The training compute was {} FLOPs.", "Training compute", " FLOPs",
                      "FLOPs"),
    "tokens_per_second_per_gpu": _w(whole, "Throughput was {} tokens per second per GPU.", "Each GPU processed {} tokens/s.",
                                    "Throughput", " tokens/s/GPU", "Tokens/s/GPU"),
    "tokens_per_second": _w(whole, "The whole cluster processed {} tokens per second.", "Overall throughput was {} tokens/s.",
                            "Total throughput", " tokens/s", "Total tokens/s"),
    "seq_len": _w(whole, "The sequence length was {}.", "The context length was {} tokens.", "Sequence length", "", "Seq. length"),
    "global_batch": _w(whole, "The global batch size was {} sequences.", "A global batch has {} sequences.", "Global batch size",
                       " sequences", "Global batch (sequences)"),
    "global_batch_tokens": _w(count, "The batch size was {} tokens.", "A global batch held {} tokens.", "Batch size", " tokens",
                              "Batch (tokens)"),
    "steps": _w(whole, "We trained for {} steps.", "The optimizer took {} steps.", "Steps", "", "Steps"),
    "tensor": _w(whole, "Tensor parallelism was {}-way.", "The tensor-parallel size was {}.", "Tensor parallel size", "", "TP"),
    "data_parallel": _w(whole, "Data parallelism was {}-way.", "The data-parallel size was {}.", "Data parallel size", "", "DP"),
    "accumulation": _w(whole, "Gradients were accumulated over {} micro-steps.", "We used {} gradient accumulation steps.",
                       "Gradient accumulation steps", "", "Grad. accum."),
    "gpu_power": _w(whole, "We measured an average power of {} W per GPU.", "On average each GPU drew {} W.", "Average GPU power", " W",
                    "Power per GPU (W)"),
    "pue": _w(scaled(1.0, 3), "The PUE of the data centre was {}.", "The data center has a PUE of {}.", "PUE", "", "PUE"),
    "energy": _w(mwh, "Training consumed {} MWh of electricity.", "The total energy consumption was {} MWh.", "Energy consumed", " MWh",
                 "Energy (MWh)"),
    "carbon_intensity": _w(scaled(1.0, 3), "The carbon intensity of the grid is {} kg CO2eq/kWh.",
                           "The local grid emits {} kgCO2e per kWh.", "Carbon intensity", " kg CO2eq/kWh", "Grid (kg CO2e/kWh)"),
    "carbon": _w(scaled(1.0), "The emissions were {} tCO2eq.", "This caused emissions of {} tonnes of CO2e.", "Carbon emitted",
                 " tCO2eq", "Carbon (tCO2eq)"),
    "price": _w(scaled(1.0, 3), "A GPU-hour cost us ${}.", "At ${} per GPU hour it was rented in the cloud.", "Price per GPU-hour",
                " USD", "$/GPU-hour"),
    "cost": _w(whole, "Training cost ${}.", "The total training cost was ${}.", "Training cost", " USD", "Cost ($)"),
    "flops_per_second_per_gpu": _w(scaled(1e12, 3), "Each GPU sustained {} TFLOP/s.", "We measured {} TFLOP/s per GPU.",
                                   "Achieved", " TFLOP/s per GPU", "TFLOP/s/GPU"),
    "step_time": _w(scaled(1.0, 3), "A step took {} seconds.", "Each optimizer step lasted {} s.", "Step time", " s", "Step time (s)"),
    "goodput": _w(percent, "Goodput was {}%.", "Steps advanced in {} % of that time (goodput).", "Goodput", "%", "Goodput (%)"),
    "node_price": _w(scaled(1.0, 4), "A node costs ${} per hour.", "The provider charges ${} per node and hour.", "Price per node-hour",
                     " USD", "$/node-hour"),
    "memory_per_gpu": _w(scaled(1e9), "Every GPU has {} GB of memory.", "The GPUs have {} GB of memory each.", "GPU memory", " GB",
                         "GPU memory (GB)"),
}  # fmt: skip
AROUND = (
    "After that we tuned it for 3 epochs on 1.2M dialogues, which took 9 hours on 64 GPUs.",
    "A final stage extends the context to 64k tokens on another 40B tokens; it ran for 31 hours on 128 GPUs at an MFU of 29%.",
    "For comparison, Grebe-13B [4] needed 2,048 A100 GPUs for 21 days (1.4T tokens, 57 % MFU, 1,032,192 GPU-hours).",
    "Compared to Dunlin-40B (Ho et al., 2023), which was trained on 384 A100 GPUs for two months and emitted 95 tCO2eq, ours is cheap.",
    "A 70B version is planned: 15T tokens on 2,048 H100 GPUs, for which we expect 58 days and a bill of $7M.",
    "A first attempt on 96 GPUs diverged after 4 days and 210B tokens; it was discarded.",
    "Ablations used a 1B model, 100B tokens and 64 GPUs for 12 hours each; there were 40 of them.",
    "Peak throughput in a benchmark of one node was 58 % MFU.",
)


def prose(run: Run, figures: Mapping[str, float], voice: int) -> str:
    """Write the figures as sentences."""
    return " ".join(
        WORDINGS[name].sentences[voice].replace("{card}", run.card).format(WORDINGS[name].number(value))
        for name, value in figures.items()
    ) + ("" if "gpus" in figures else f" All of this ran on {run.card} GPUs.")


def card(run: Run, figures: Mapping[str, float], voice: int) -> str:
    """Write the figures as labels with values, as cards of models do."""
    mark = ("- **{}:** {}{}", "{}: {}{}")[voice]
    lines = [
        mark.format(WORDINGS[name].label, WORDINGS[name].number(value), WORDINGS[name].unit.replace("{card}", run.card))
        for name, value in figures.items()
    ]
    return "## Wagtail\n\n" + "\n".join(
        [*lines, *([] if "gpus" in figures else [mark.format("Hardware", run.card, "")])]
    )


def table(run: Run, figures: Mapping[str, float], voice: int) -> str:
    """Write the figures as a table: a row a figure, or one row with a column a figure."""
    cells = [(WORDINGS[name].column, WORDINGS[name].number(value)) for name, value in figures.items()]
    named = [("Model", "Wagtail"), ("Accelerator", run.card), *cells]
    if voice:
        rows = ["| Setting | Value |", "|:--|--:|", *(f"| {column} | {value} |" for column, value in named)]
    else:
        rows = ["| " + " | ".join(line) + " |" for line in zip(*named, strict=True)]
        rows.insert(1, "|" + "---|" * len(named))
    return "Table 1: The training of Wagtail.\n\n" + "\n".join(rows)


FORMS = {"prose": prose, "card": card, "table": table}


@dataclass(frozen=True)
class Outcome:
    """A text with what was said of it; ``kind`` is planted, clean, or with other matter around."""

    mistake: Mistake
    form: str
    kind: str
    text: str
    check: PaperCheck

    @property
    def called(self) -> bool:
        """Whether the text is called contradicted."""
        return self.check.verdict == CONTRADICTED

    @property
    def first(self) -> str:
        """The first likely cause of the first contradiction that has one."""
        return next((one.likely_causes[0].cause for one in self.check.contradictions if one.likely_causes), "")

    @property
    def named(self) -> bool:
        """Whether a contradiction names the planted cause first."""
        firsts = [one.likely_causes[0].cause for one in self.check.contradictions if one.likely_causes]
        return any(cause in first for cause in self.mistake.causes for first in firsts)


def texts() -> Iterator[tuple[Mistake, str, str, str]]:
    """Yield (mistake, form, kind, text) of every text."""
    for number, mistake in enumerate(MISTAKES):
        run = mistake.runs[number % len(mistake.runs)]
        for turn, (form, write) in enumerate(FORMS.items()):
            voice = (number + turn) % 2
            clean = write(run, mistake.figures(run, wrong=False), voice)
            planted = write(run, mistake.figures(run, wrong=True), voice)
            yield mistake, form, "planted", planted
            yield mistake, form, "clean", clean
            for step in (0, 3):
                around = [AROUND[(number + 3 * turn + step + more) % len(AROUND)] for more in (0, 2)]
                yield mistake, form, f"around {1 + step // 3}", clean + "\n\n" + " ".join(around)
            yield mistake, form, "planted around", planted + "\n\n" + AROUND[(number + turn) % len(AROUND)]


def outcomes(kinds: tuple[str, ...] = ()) -> Iterator[Outcome]:
    """Check every text, or those of some kinds."""
    for mistake, form, kind, text in texts():
        if not kinds or kind in kinds:
            yield Outcome(mistake, form, kind, text, check_paper(read_paper(text)))


def _line(one: Outcome) -> str:
    doubts = [
        f"{d.condition} ({', '.join(c.cause for c in d.likely_causes[:1])})"
        for run in one.check.runs
        for d in run.doubts
    ]
    said = [f"{c.statement} [{', '.join(x.cause for x in c.likely_causes[:3])}]" for c in one.check.contradictions]
    return f"  {one.mistake.name} · {one.form} · {one.kind}: {one.check.verdict}; {said} doubts {doubts}"


def main() -> None:
    """Print the counts by form, and with ``--list`` every text that was misjudged."""
    every = list(outcomes())
    listed = "--list" in sys.argv
    for form in FORMS:
        counts: Counter[str] = Counter()
        for one in every:
            if one.form != form:
                continue
            sound = "planted" not in one.kind
            kind = "sound" if sound else one.kind
            counts[kind, "all"] += 1
            counts[kind, "called"] += one.called
            counts[kind, "named"] += one.named
            counts[kind, "consistent"] += one.check.verdict == CONSISTENT
            if listed and (one.called if sound else one.kind == "planted" and not one.named):
                print(_line(one))
        print(
            f"{form:6} planted {counts['planted', 'all']}: called {counts['planted', 'called']}, cause first "
            f"{counts['planted', 'named']}, acquitted {counts['planted', 'consistent']}; among other matter: called "
            f"{counts['planted around', 'called']}, cause first {counts['planted around', 'named']}, acquitted "
            f"{counts['planted around', 'consistent']}; sound {counts['sound', 'all']}: false alarms {counts['sound', 'called']}"
        )


if __name__ == "__main__":
    main()
