"""Sound texts that look wrong at first: stops told elsewhere, ramps of the batch, machines that grow, prices from-to, power at the plug.

``python -m tests.benchmarks.honest [--list]`` writes every kind for two runs and counts how many are called contradicted (none should be)
and how many consistent. Each text with GPU-hours is also written with those of nodes in their place, which must still be called:
what excuses one figure must not excuse the others.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED
from tests.benchmarks.accused import count, days, mwh, percent, power_of_ten, scaled, whole
from tests.benchmarks.mistakes import AMPERE, EXPERTS, HOPPER, Run

Figures = Mapping[str, float]
three = scaled(1.0, 3)


@dataclass(frozen=True)
class Kind:
    """A kind of text: its wordings, the runs it is written for, and how its further figures follow from those of the run."""

    name: str
    texts: tuple[str, ...]
    further: Callable[[Figures], Mapping[str, str]] = lambda _: {}
    runs: tuple[Run, ...] = (HOPPER, AMPERE)
    run: Mapping[str, float] | None = None


def _usual(run: Run) -> dict[str, str]:
    """Return the figures of a run as its texts print them."""
    f = run.figures()
    return {
        "card": run.card, "size": count(run.size), "active": count(run.active), "tokens": count(run.tokens), "gpus": whole(run.gpus),
        "nodes": whole(f["nodes"]), "days": days(f["wall_clock"]), "hours": whole(f["gpu_hours"]), "mfu": percent(run.mfu),
        "hfu": percent(run.mfu * 4 / 3), "flops": power_of_ten(f["model_flops"]), "corpus": count(f["dataset_tokens"]),
        "rate": three(f["flops_per_second_per_gpu"] / 1e12), "hardware_rate": three(f["flops_per_second_per_gpu"] / 0.75e12),
        "tps": whole(f["tokens_per_second_per_gpu"]), "steps": whole(f["steps"]), "batch": count(f["global_batch_tokens"]),
        "seq": whole(run.seq_len), "sequences": whole(run.batch), "power": whole(run.power), "mwh": mwh(f["energy"]),
        "price": three(run.price), "cost": whole(f["cost"]),
    }  # fmt: skip


def _ramp(f: Figures) -> Mapping[str, str]:
    """A twentieth of the tokens at a quarter of the batch: 0.95 + 4 x 0.05 = 1.15 times the steps."""
    return {
        "quarter": count(f["global_batch_tokens"] / 4), "few": whole(f["global_batch"] / 4), "warm": count(0.05 * f["tokens"]),
        "ramped": whole(1.15 * f["steps"]),
    }  # fmt: skip


def _grown(f: Figures) -> Mapping[str, str]:
    """Half of the GPU-hours on the machine and half on twice as many GPUs, which take half of the time."""
    half = f["wall_clock"] / 2
    return {"first": days(half), "then": days(half / 2), "more": whole(2 * f["gpus"]), "all_days": days(1.5 * half)}


def _prices(f: Figures) -> Mapping[str, str]:
    low, high = 0.75 * f["price"], 1.25 * f["price"]
    return {
        "low": f"{low:.2f}", "high": f"{high:.2f}", "least": whole(f["gpu_hours"] * low / 1000),
        "most": whole(f["gpu_hours"] * high / 1000), "list": f"{1.7 * f['price']:.2f}",
    }  # fmt: skip


def _plugs(f: Figures) -> Mapping[str, str]:
    """A node draws 1.45 times what its eight cards do."""
    boards, wall = f["gpu_hours"] * f["gpu_power"], 1.45 * f["gpu_hours"] * f["gpu_power"]
    return {"boards": mwh(boards), "wall": mwh(wall), "node_kw": three(1.45 * 8 * f["gpu_power"] / 1000)}


def _rounded(f: Figures) -> Mapping[str, str]:
    """Figures to one or two digits, each rounded from the unrounded one."""
    return {
        "about_gpus": f"{f['gpus']:.1g}".replace("e+02", "00"), "weeks": f"{f['wall_clock'] / 7 / 86400:.1g}",
        "k_hours": f"{f['gpu_hours'] / 1000:.0f}k", "tens": f"{round(f['gpu_hours'], -4) / 1000:.0f}k",
        "near_mfu": f"{5 * round(20 * f['mfu']):.0f}", "m_cost": f"{f['cost'] / 1e6:.1g}",
    }  # fmt: skip


def _tuned(f: Figures) -> Mapping[str, str]:
    """1.1B tokens at an MFU of 19 %."""
    share = 1.1e9 / f["tokens"] * f["mfu"] / 0.19
    return {"tuned_tokens": "1.1B", "tuned_hours": whole(share * f["gpu_hours"])}


KINDS = (
    Kind(
        "goodput told elsewhere",
        (
            "Wagtail has {size} parameters and was trained on {tokens} tokens with {gpus} {card} GPUs. From the first to the last step "
            "it took {days} days, or {hours} GPU-hours. While steps were running the MFU was {mfu}%.\n\n## Lessons\n\nFailures, restarts "
            "and the writing of checkpoints cost us 22% of the elapsed time.",
            "| Item | Wagtail |\n|---|---|\n| Parameters | {size} |\n| Tokens | {tokens} |\n| GPUs | {gpus} x {card} |\n"
            "| Elapsed days | {days} |\n| GPU-hours (reserved) | {hours} |\n| MFU, stops left out | {mfu}% |\n\n"
            "The effective training time was 78% of the elapsed time.",
            "Between two restarts every GPU processed {tps} tokens per second. Wagtail ({size} parameters, {tokens} tokens) occupied "
            "{gpus} {card} GPUs for {days} days. Goodput was 78%.",
        ),
        run={"goodput": 0.78},
    ),
    Kind(
        "active parameters",
        (
            "Wagtail is sparse: of its {size} parameters, {active} work on any given token. It saw {tokens} tokens in {days} days on "
            "{gpus} {card} GPUs, which is {hours} GPU-hours at an MFU of {mfu}%.",
            "- Parameters: {size} ({active} active)\n- Tokens: {tokens}\n- Training compute: {flops} FLOPs\n- Hardware: {gpus} x {card}\n"
            "- GPU hours: {hours}\n- MFU: {mfu}%",
            "A mixture of experts with {size} weights is cheaper than it looks. A token passes through {active} of them, so that {tokens} "
            "tokens needed {flops} FLOPs, or {hours} GPU-hours on {gpus} {card} GPUs at {rate} TFLOP/s each.",
        ),
        runs=(EXPERTS,),
    ),
    Kind(
        "several epochs",
        (
            "Our corpus counts {corpus} tokens. Wagtail, with {size} parameters, reads it four times. That kept {gpus} {card} GPUs busy "
            "for {days} days ({hours} GPU-hours) at {mfu}% MFU.",
            "The {size} model was trained for {tokens} tokens (4 epochs over {corpus} unique tokens) on {gpus} {card} GPUs in {days} days; "
            "GPU hours: {hours}; MFU: {mfu}%.",
            "data: {corpus} tokens\npasses over the data: 4\nmodel: {size} parameters\ngpus: {gpus} {card}\ntime: {days} days\n"
            "gpu hours: {hours}\nmfu: {mfu}%",
        ),
    ),
    Kind(
        "a ramp of the batch",
        (
            "Wagtail has {size} parameters. We start with batches of {quarter} tokens and, after {warm} tokens, go on with {batch} tokens. "
            "{ramped} steps cover {tokens} tokens. The run used {hours} GPU-hours of {gpus} {card} GPUs.",
            "The batch grows from {few} to {sequences} sequences of {seq} tokens early in training (over the first {warm} tokens). "
            "After {ramped} updates the {size} model has seen {tokens} tokens; this took {days} days on {gpus} {card} GPUs.",
            "| Hyperparameter | Value |\n|---|---|\n| Parameters | {size} |\n| Batch size (tokens) | {quarter} -> {batch} |\n"
            "| Steps | {ramped} |\n| Tokens | {tokens} |\n| GPUs | {gpus} {card} |\n| GPU-hours | {hours} |",
        ),
        _ramp,
    ),
    Kind(
        "a machine that grows",
        (
            "Wagtail ({size} parameters, {tokens} tokens) began on {gpus} {card} GPUs; after {first} days we moved to {more}, on which the "
            "rest took {then} days. The whole run cost {hours} GPU-hours at an MFU of {mfu}%.",
            "For the first {first} days the {size} model had {gpus} {card} GPUs, then {more} for another {then} days. In all, {hours} "
            "GPU-hours went into {tokens} tokens.",
            "The cluster was enlarged during the run, from {gpus} to {more} {card} GPUs. Training of the {size} model on {tokens} tokens "
            "lasted {all_days} days and used {hours} GPU-hours. MFU stayed at {mfu}% throughout.",
        ),
        _grown,
    ),
    Kind(
        "HFU beside MFU",
        (
            "Wagtail has {size} parameters, saw {tokens} tokens and took {days} days on {gpus} {card} GPUs with full recomputation: MFU "
            "{mfu}%, HFU {hfu}%.",
            "All activations are recomputed. Counting that work, the {gpus} {card} GPUs ran at {hfu}% of their peak; useful work is {mfu}% "
            "of it. The {size} model processed {tokens} tokens in {hours} GPU-hours.",
            "| Parameters | {size} |\n|---|---|\n| Tokens | {tokens} |\n| GPUs | {gpus} {card} |\n| GPU-hours | {hours} |\n"
            "| Model TFLOP/s per GPU | {rate} |\n| Hardware TFLOP/s per GPU | {hardware_rate} |\n| MFU | {mfu}% |\n| HFU | {hfu}% |",
        ),
    ),
    Kind(
        "prices from-to",
        (
            "Training Wagtail took {hours} GPU-hours on {gpus} {card} GPUs ({days} days). At ${low} to ${high} per GPU-hour this would be "
            "between ${least}k and ${most}k.",
            "The {hours} GPU-hours were bought under contract at ${price} per {card} hour, while the list price was ${list}. We paid "
            "${cost}.",
            "- Model: Wagtail\n- GPU: {card}\n- GPU hours: {hours}\n- Price: ${low}-{high} per GPU-hour, depending on the provider\n"
            "- Cost: ${least}k-{most}k",
        ),
        _prices,
    ),
    Kind(
        "power of boards and of nodes",
        (
            "The run took {hours} GPU-hours on {gpus} {card} GPUs. A card drew {power} W on average, a whole server of eight {node_kw} kW. "
            "At the plugs of the servers we metered {wall} MWh.",
            "The boards of the {gpus} {card} GPUs used {boards} MWh ({power} W each over {hours} GPU-hours). Processors, fans and switches "
            "brought the total to {wall} MWh.",
            "| GPU-hours ({card}) | {hours} |\n|---|---|\n| Power per GPU board | {power} W |\n| Energy, GPU boards | {boards} MWh |\n"
            "| Energy, whole servers | {wall} MWh |",
        ),
        _plugs,
    ),
    Kind(
        "rounded from rounded",
        (
            "Wagtail has {size} parameters. It took us about {weeks} weeks on some {about_gpus} {card} GPUs, roughly {tens} GPU-hours, to "
            "get through {tokens} tokens; MFU was around {near_mfu}%.",
            "In round numbers: {gpus} {card} GPUs, {weeks} weeks, {k_hours} GPU hours, ${m_cost}M.",
            "We spent ~{tens} GPU-hours on {gpus} {card} GPUs, at about ${price} an hour a bill of ~${m_cost} million.",
        ),
        _rounded,
    ),
    Kind(
        "tuning after training",
        (
            "Wagtail, a {size} model, was trained on {tokens} tokens with {gpus} {card} GPUs over {days} days ({hours} GPU-hours). It was "
            "then tuned for 3 epochs on 20,000 dialogues, which took 5 hours on 16 GPUs.",
            "## Pre-training\n\n"
            "Wagtail ({size} parameters) read {tokens} tokens in {hours} GPU-hours on {gpus} {card} GPUs; MFU {mfu}%.\n\n"
            "## Fine-tuning\n\nTwo epochs, {tuned_tokens} tokens, 32 GPUs, {tuned_hours} GPU-hours.",
            "| | Pre-training | Instruction tuning |\n|---|---|---|\n"
            "| Tokens | {tokens} | {tuned_tokens} |\n| GPUs ({card}) | {gpus} | 32 |\n"
            "| GPU-hours | {hours} | {tuned_hours} |\n| MFU | {mfu}% | 19% |\n\nThe model has {size} parameters.",
        ),
        _tuned,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A text with what was said of it."""

    kind: str
    text: str
    wrong: bool
    check: PaperCheck

    @property
    def called(self) -> bool:
        """Whether the text is called contradicted."""
        return self.check.verdict == CONTRADICTED


def texts() -> Iterator[tuple[str, bool, str]]:
    """Yield (kind, whether node-hours stand for GPU-hours, text)."""
    for kind in KINDS:
        for base in kind.runs:
            run = replace(base, **(kind.run or {}))
            words = _usual(run) | kind.further(run.figures())
            hours = run.figures()["gpu_hours"] / run.per_node
            for text in kind.texts:
                yield kind.name, False, text.format_map(words)
                if "{hours}" in text:
                    yield kind.name, True, text.format_map(words | {"hours": whole(hours)})


def outcomes(*, wrong: bool | None = None) -> Iterator[Outcome]:
    """Check every text, or only those with or without the mistake."""
    for kind, planted, text in texts():
        if wrong in (None, planted):
            yield Outcome(kind, text, planted, check_paper(read_paper(text)))


def main() -> None:
    """Print the counts by kind, and with ``--list`` every text that was misjudged."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in outcomes():
        said = "wrong" if one.wrong else "sound"
        for name in (one.kind, "all"):
            counts[name, said] += 1
            counts[name, f"{said} called"] += one.called
            counts[name, f"{said} consistent"] += one.check.verdict == CONSISTENT
        if "--list" in sys.argv and one.called != one.wrong:
            why = [(c.statement, c.condition) for run in one.check.runs for c in (*run.contradictions, *run.doubts)]
            print(f"  {one.kind} · {said}: {one.check.verdict} {why}\n    {one.text!r}")
    for name in (*(kind.name for kind in KINDS), "all"):
        print(
            f"{name:30} sound {counts[name, 'sound']:3}: called {counts[name, 'sound called']}, consistent "
            f"{counts[name, 'sound consistent']}; node-hours for GPU-hours {counts[name, 'wrong']:3}: called "
            f"{counts[name, 'wrong called']}, acquitted {counts[name, 'wrong consistent']}"
        )


if __name__ == "__main__":
    main()
