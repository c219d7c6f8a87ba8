"""Laws that every run must obey, tested on random runs.

    python -m tests.benchmarks.laws [RUNS] [SEED] [THIN]

Prints for each law the number of runs tested, the number that break it and the first of them; exit code 1 if any run breaks a law. Each
run is tested against one law in THIN, in turn. Run N of a seed is drawn with ``random.Random(f"{SEED}-{N}")``. The tests use a few hundred
runs; a change of the model should be tested on thousands.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpuhours.hardware.clusters import Cluster
from gpuhours.inputs.errors import EstimateError
from gpuhours.memory import memory
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.run.results import SHARES, plain_results
from gpuhours.run.spec import from_dict
from gpuhours.step import step
from tests.benchmarks.laws_of_answers import (
    a_bill_adds_up,
    a_row_is_a_run,
    a_run_is_like_itself,
    a_trace_is_the_step,
    spelling_is_nothing,
    the_json_read_back_is_the_same,
    the_planned_is_the_estimated,
)
from tests.benchmarks.more_laws import (
    a_quicker_format_is_no_slower,
    adapters_cost_no_more,
    an_idle_key_is_idle,
    more_cards_cost_no_less,
    more_work_is_more,
    stops_take_their_share,
    the_screen_says_the_numbers,
)
from tests.benchmarks.random_runs import random_run
from tests.benchmarks.tried import ROUNDING, Tried

MAY_BE_ZERO = {"attention_flops", "host_memory_per_node", "fits", "fits_probability", "cost", "energy", "carbon", "data_time",
               "embodied_carbon", "trainable_parameters"}  # fmt: skip


Law = Callable[[Tried], Iterator[str]]


def numbers_are_numbers(tried: Tried) -> Iterator[str]:
    """Numbers in the JSON are finite, positive where required, inside their range, at most 1 if a share; a null has a reason."""
    try:
        document = estimate(tried.run).to_dict()
    except EstimateError:
        return  # contradictory inputs are reported by the error
    warned = " ".join(document["warnings"])
    for name, one in document["results"].items():
        if one is None:
            if name not in warned:
                yield f"{name} is null without a reason"
            continue
        value, low, high = one["value"], one["low"], one["high"]
        if value < 0 or (value == 0 and name not in MAY_BE_ZERO):
            yield f"{name} is {value}"
        if low is not None and not low <= value <= high:
            yield f"{name}: {value} is not between {low} and {high}"
        if name in SHARES and name != "hfu" and max(value, high or value) > 1:
            yield f"{name} is {value}, up to {high}"
    for path, value in figures(document):
        if not math.isfinite(value):
            yield f"{path} is {value}"


def figures(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a JSON document with its path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from figures(inner, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from figures(inner, f"{path}[{place}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def better_parts_never_slow(tried: Tried) -> Iterator[str]:
    """More bandwidth, FLOP/s, NICs or memory never make a step longer."""
    workload = tried.outcome.resolved.workload
    for name, better in betters(workload.cluster, tried.rng.choice((1.01, 1.5, 4.0))).items():
        slower = float(step(dataclasses.replace(workload, cluster=better)).time) / float(tried.step.time)
        if slower > 1 + ROUNDING:
            yield f"more {name} takes {slower:.4f} of the time"


def betters(cluster: Cluster, times: float) -> dict[str, Cluster]:
    """Return copies of the machine, each with one property better by the factor ``times``."""
    chip, node = cluster.accelerator, cluster.node
    chips: dict[str, dict[str, Any]] = {
        "FLOP/s": {"peak": {dtype: rate * times for dtype, rate in chip.peak.items()}},
        "memory bandwidth": {"memory_bandwidth": chip.memory_bandwidth * times},
        "memory": {"memory": chip.memory * times},
        "PCIe bandwidth": {"pcie_bandwidth": chip.pcie_bandwidth * times},
    }
    nodes: dict[str, dict[str, Any]] = {
        "NICs": {"nics": math.ceil(node.nics * times) if cluster.internode_bandwidth is None else node.nics},
        "NIC bandwidth": {"nic_bandwidth": node.nic_bandwidth * times},
        "host bandwidth": {"pcie_bandwidth": node.pcie_bandwidth * times},
    }
    links = dataclasses.replace(
        chip, link_bandwidth=chip.link_bandwidth * times, pair_bandwidth=chip.pair_bandwidth * times
    )
    linked = dataclasses.replace(node, link_bandwidth=node.link_bandwidth * times)
    found = {
        name: dataclasses.replace(cluster, accelerator=dataclasses.replace(chip, **better))
        for name, better in chips.items()
    }
    found |= {
        name: dataclasses.replace(cluster, node=dataclasses.replace(node, **better)) for name, better in nodes.items()
    }
    found["link bandwidth"] = dataclasses.replace(cluster, accelerator=links, node=linked)
    if cluster.internode_bandwidth is not None:
        found["internode bandwidth"] = dataclasses.replace(
            cluster, internode_bandwidth=cluster.internode_bandwidth * times
        )
    return found


def memory_is_the_runs(tried: Tried) -> Iterator[str]:
    """The memory that a run needs does not depend on the card's memory; the allocator holds at most the larger of the two."""
    workload = tried.outcome.resolved.workload
    for times in (0.5, 2.0, 10.0):
        chip = dataclasses.replace(workload.cluster.accelerator, memory=workload.cluster.accelerator.memory * times)
        held = memory(dataclasses.replace(workload, cluster=dataclasses.replace(workload.cluster, accelerator=chip)))
        if float(held.total) > (1 + ROUNDING) * max(chip.memory, float(held.needed)):
            yield f"{float(held.total) / 1e9:.3f} GB is held on a card of {chip.memory / 1e9:.3f}"
        for name in ("allocated", "needed"):
            ours, theirs = float(getattr(tried.memory, name)), float(getattr(held, name))
            if not math.isclose(ours, theirs, rel_tol=ROUNDING):
                yield f"{name} {ours / 1e9:.3f} GB is {theirs / 1e9:.3f} on a card of {times:g} times the memory"


def less_is_kept(tried: Tried) -> Iterator[str]:
    """More recomputation and more sharding never increase memory."""
    for key, ladder in (("layout.recompute", ("none", "selective", "full")),
                        ("layout.sharding", ("none", "zero1", "zero2", "zero3"))):  # fmt: skip
        extra = (("layout.recompute_layers", None), ("layout.recompute_modules", None)) if "recompute" in key else ()
        rungs = [(word, tried.with_said((key, word), *extra)) for word in ladder]
        climbed = [(word, found) for word, found in rungs if found is not None]
        for (less, before), (more, after) in itertools.pairwise(climbed):
            assert before.memory is not None
            assert after.memory is not None
            for name in ("allocated", "total"):
                ours, theirs = float(getattr(before.memory, name)), float(getattr(after.memory, name))
                if theirs > ours * (1 + ROUNDING):
                    yield f"{key} {more} holds {theirs / ours:.5f} of {less}: {name}"


def work_takes_time(tried: Tried) -> Iterator[str]:
    """More recomputation never makes a step faster or reduces its hardware FLOPs."""
    extra = (("layout.recompute_layers", None), ("layout.recompute_modules", None))
    rungs = [(word, tried.with_said(("layout.recompute", word), *extra)) for word in ("none", "selective", "full")]
    climbed = [(word, found) for word, found in rungs if found is not None]
    for (less, before), (more, after) in itertools.pairwise(climbed):
        assert before.step is not None
        assert after.step is not None
        faster = float(after.step.time) / float(before.step.time)
        if faster < 1 - ROUNDING:
            yield f"{more} takes {faster:.5f} of the time of {less}"
        if float(after.step.hardware_flops) < float(before.step.hardware_flops) * (1 - ROUNDING):
            yield f"{more} computes less than {less}"


def parts_sum(tried: Tried) -> Iterator[str]:
    """The times of the parts sum to the step time, the bytes of the parts to the rank's memory, and none is negative."""
    for name, parts, whole in (
        ("time", tried.step.parts, tried.step.time),
        ("memory", tried.memory.parts, tried.memory.total),
    ):
        if not math.isclose(sum(float(part) for part in parts.values()), float(whole), rel_tol=ROUNDING):
            yield f"the parts of {name} come to {sum(float(part) for part in parts.values())}, not {float(whole)}"
        for part, amount in parts.items():
            if float(amount) < 0:
                yield f"{name}: {part} is {float(amount)}"


EXTENSIVE = ("tokens", "samples", "steps", "model_flops", "gpu_hours", "wall_clock", "productive_time", "cost", "energy", "carbon",
             "embodied_carbon")  # fmt: skip


def scaling_scales(tried: Tried) -> Iterator[str]:
    """Twice the data doubles every extensive result, and twice the price doubles the cost."""
    key = "data.tokens" if "tokens" in tried.described["data"] else "data.dataset_samples"
    twice = tried.with_said((key, 2 * tried.described["data"][key.removeprefix("data.")]))
    assert twice is not None
    before, after = plain_results(tried.outcome), plain_results(twice)
    for name in EXTENSIVE:
        if before[name] is not None and not math.isclose(after[name], 2 * before[name], rel_tol=ROUNDING):
            yield f"{name} is {after[name] / before[name]} times as much with twice the {key}"
    cheap, dear = (tried.with_said(("cost.price", price)) for price in ("1.5 USD/hour", "3 USD/hour"))
    assert cheap is not None
    assert dear is not None
    once, double = (plain_results(one)["cost"] for one in (cheap, dear))
    if once is not None and not math.isclose(double, 2 * once, rel_tol=ROUNDING):
        yield f"twice the price makes {double / once} times the cost"


def halves_are_the_whole(tried: Tried) -> Iterator[str]:
    """Two stages with half the data each equal the whole run: extensive results add up, memory and MFU are the same."""
    key = "tokens" if "tokens" in tried.described["data"] else "dataset_samples"
    half = {"data": {key: tried.described["data"][key] / 2}}
    whole = estimate(tried.run)
    stages = estimate(from_dict({**tried.described, "stages": [half, half]}))
    for name in (*EXTENSIVE, "memory_per_gpu", "mfu"):
        one, other = whole.results.get(name), stages.results.get(name)
        if name in ("samples", "embodied_carbon") and other is None:
            continue  # staged runs do not report a sum of these
        if (one is None) != (other is None):
            yield f"{name} is {one and one.value} of the whole and {other and other.value} of its halves"
        elif one is not None and other is not None and not math.isclose(one.value, other.value, rel_tol=ROUNDING):
            yield f"{name} is {one.value} of the whole and {other.value} of its halves"


LAWS: Mapping[str, tuple[Law, int]] = {
    "numbers": (numbers_are_numbers, 2),
    "better parts": (better_parts_never_slow, 1),
    "memory": (memory_is_the_runs, 1),
    "less is kept": (less_is_kept, 1),
    "work takes time": (work_takes_time, 1),
    "parts": (parts_sum, 1),
    "scaling": (scaling_scales, 1),
    "spelling": (spelling_is_nothing, 2),
    "JSON": (the_json_read_back_is_the_same, 3),
    "rows": (a_row_is_a_run, 3),
    "bill": (a_bill_adds_up, 1),
    "halves": (halves_are_the_whole, 4),
    "like itself": (a_run_is_like_itself, 4),
    "trace": (a_trace_is_the_step, 4),
    "more work": (more_work_is_more, 2),
    "more cards": (more_cards_cost_no_less, 2),
    "formats": (a_quicker_format_is_no_slower, 2),
    "adapters": (adapters_cost_no_more, 4),
    "stops": (stops_take_their_share, 4),
    "idle": (an_idle_key_is_idle, 2),
    "screen": (the_screen_says_the_numbers, 8),
    "plan": (the_planned_is_the_estimated, 25),
}
"""Name -> the law and N, where one run in N is tested against it; expensive laws are tested on fewer runs."""


@dataclass
class Tally:
    """The test results of one law."""

    tried: int = 0
    broken: int = 0
    first: list[str] = field(default_factory=list)


def tally(
    runs: int, seed: str, laws: Mapping[str, tuple[Law, int]] = LAWS, shown: int = 3, thin: int = 1
) -> dict[str, Tally]:
    """Test random runs against the laws, each run against one law in ``thin``; keep the first ``shown`` runs that break each law."""
    found = {name: Tally() for name in laws}
    for number in range(runs):
        rng = random.Random(f"{seed}-{number}")
        tried = Tried(*random_run(rng), rng)
        for place, (name, (law, every)) in enumerate(laws.items()):
            if (number + place) % (every * thin):
                continue
            faults = list(law(tried))
            found[name].tried += 1
            if faults:
                found[name].broken += 1
                if found[name].broken <= shown:
                    print(f"{seed}-{number}, {name}: {faults[0]}", file=sys.stderr, flush=True)
                if len(found[name].first) < shown:
                    found[name].first.append(
                        f"{seed}-{number}: {'; '.join(faults[:4])}\n  {json.dumps(tried.described)}"
                    )
    return found


def main() -> int:
    """Test the laws and print the results."""
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    found = tally(runs, sys.argv[2] if len(sys.argv) > 2 else "0", thin=int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    for name, one in found.items():
        print(f"{name:16} {one.broken:5} of {one.tried} broken")
        for line in one.first:
            print("  " + line)
    return 1 if any(one.broken for one in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
