"""Laws between the answers of different commands: a sweep's row, a plan's layout, a comparison, a bill and a trace are the run's own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import Source, read_yaml_text
from gpuhours.questions.comparing import compare
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.planning import plan
from gpuhours.questions.reporting.trace import trace
from gpuhours.questions.sweeping import sweep
from gpuhours.run.evaluate import evaluate
from gpuhours.run.results import RESULTS, plain_results
from gpuhours.run.shortcuts import overlaid
from gpuhours.run.spec import Run, from_dict
from tests.benchmarks.random_runs import said
from tests.benchmarks.tried import ROUNDING, Tried


def spelling_is_nothing(tried: Tried) -> Iterator[str]:
    """The order of keys, the notation of numbers, flags or file, JSON or YAML do not change the answer."""
    ours = plain_results(tried.outcome)
    for name, run in spelled(tried):
        theirs = plain_results(evaluate(run))
        yield from (f"{name}: {line}" for line in differences(ours, theirs))


def spelled(tried: Tried) -> Iterator[tuple[str, Run]]:
    """Return the same run written in a different way."""
    described = tried.described
    yield "keys in another order", from_dict(_turned(described))
    yield "numbers as people write them", from_dict(_worded(described))
    yield "written as YAML", from_dict(read_yaml_text(yaml.safe_dump(described), "run.yaml").data)
    yield "written as JSON", from_dict(json.loads(json.dumps(described)))
    layout = {
        key: str(value)
        for key, value in described["layout"].items()
        if key in ("tensor", "pipeline", "context", "recompute")
    }
    flags = {"gpus": str(described["hardware"]["gpus"]), "gpu": described["hardware"]["accelerator"], **layout}
    bare = {key: value for key, value in described.items() if key != "hardware"}
    bare["layout"] = {key: value for key, value in described["layout"].items() if key not in layout}
    kept = {
        f"hardware.{key}": value for key, value in described["hardware"].items() if key not in ("gpus", "accelerator")
    }
    yield "flags in place of a file", overlaid(Source("run.yaml", bare), flags, kept)


def the_json_read_back_is_the_same(tried: Tried) -> Iterator[str]:
    """The inputs in the JSON of an estimate, read as a run file, give the same document: values, ranges, assumptions and warnings."""
    document = json.loads(json.dumps(estimate(tried.run).to_dict()))
    again = json.loads(json.dumps(estimate(from_dict(document["inputs"])).to_dict()))
    for key in document.keys() | again.keys():
        if document.get(key) != again.get(key):
            yield f"{key} is {str(document.get(key))[:200]} and, read back, {str(again.get(key))[:200]}"


def _turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _turned(inner) for key, inner in reversed(value.items())}
    return value


def _worded(value: Any) -> Any:
    """Write a number in another notation: 1.5e13 as "15T", 3e5 as "300,000"."""
    if isinstance(value, dict):
        return {key: _worded(inner) for key, inner in value.items()}
    if isinstance(value, float) and value >= 1e9 and value % 1e9 == 0:
        return f"{value / 1e12:g}T" if value >= 1e12 else f"{value / 1e9:g}B"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1000:
        return f"{value:,}"
    return value


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], near: float = ROUNDING) -> Iterator[str]:
    """Yield the results that differ."""
    for name in RESULTS:
        one, other = ours[name], theirs[name]
        if (one is None) != (other is None) or (one is not None and not math.isclose(one, other, rel_tol=near)):
            yield f"{name} {one} is {other}"


def a_row_is_a_run(tried: Tried) -> Iterator[str]:
    """A row of a sweep has the same results as the run on its own."""
    gpus = tried.described["hardware"]["gpus"]
    vary = tried.rng.choice((
        {"layout.recompute": ["none", "selective", "full"], "layout.microbatch": [1, 2]},
        {"hardware.gpus": [gpus, 2 * gpus], "layout.sharding": ["none", "zero1", "zero3"]},
        {"training.global_batch": [tried.described["training"]["global_batch"] * times for times in (1, 2, 4)]},
        {"layout.tensor": [1, 2, 4, 8], "cost.price": [1.0, 2.5]},
        {"hardware.accelerator": ["a100-sxm-80gb", "h100-sxm-80gb"], "training.state": ["mixed", "pure"]},
    ))  # fmt: skip
    try:
        rows = sweep(tried.run, vary).to_arrow().to_pylist()
    except EstimateError:
        return
    for row in tried.rng.sample(rows, min(3, len(rows))):
        alone = tried.with_said(*((key, f"{row[key]} USD/s" if key == "cost.price" else row[key]) for key in vary))
        if alone is None:
            continue
        found = plain_results(alone)
        for name in RESULTS:
            if name not in row or row[name] is None:
                if found[name] is not None:
                    yield f"{name} is {found[name]} alone and empty in the row {[row[key] for key in vary]}"
            elif found[name] is None or not math.isclose(found[name], row[name], rel_tol=ROUNDING):
                yield f"{name} is {found[name]} alone, {row[name]} in the row {[row[key] for key in vary]}"


def the_planned_is_the_estimated(tried: Tried) -> Iterator[str]:
    """``plan`` and ``estimate`` give the same results for the best layout of ``plan``."""
    run = tried.run.replaced("layout", None)
    if float(np.max(run.hardware.gpus or 0)) > 64:
        return
    try:
        best = plan(run, top=1).best
    except EstimateError:
        return
    for choice in best:
        layout = choice.to_dict()["layout"]
        alone = evaluate(from_dict(said(tried.described, ("layout", layout))))
        yield from (f"the best, {line}" for line in differences(choice.results, plain_results(alone)))


def a_bill_adds_up(tried: Tried) -> Iterator[str]:
    """The lines of the bill sum to its totals, and none is negative."""
    bill = tried.outcome.bill
    for name in ("cost", "energy", "carbon", "embodied_carbon"):
        whole, lines = getattr(bill, name), [one for one in bill.lines if one.result == name]
        if (whole is None) != (name in bill.reasons):
            yield f"{name} is {whole}, and its reason {bill.reasons.get(name)}"
        if whole is None:
            continue
        added = sum(float(one.amount.si) for one in lines if one.partial)
        if not math.isclose(added, float(whole), rel_tol=ROUNDING):
            yield f"the lines of {name} come to {added}, not {float(whole)}"
        yield from (f"{name}: {one.name} is {float(one.amount.si)}" for one in lines if float(one.amount.si) < 0)


def a_run_is_like_itself(tried: Tried) -> Iterator[str]:
    """A run compared with itself, or with itself read back from JSON, shows no difference."""
    again = from_dict(json.loads(json.dumps(tried.run.model_dump(mode="json", exclude_none=True))))
    for other in (tried.run, again):
        found = compare(tried.run, other)
        yield from (f"{one.key} is {one.first} and {one.second}" for one in found.inputs)
        for change in found.changes:
            if change.factor is not None and not math.isclose(change.factor, 1, rel_tol=ROUNDING):
                yield f"{change.name} changes by {change.factor}"


def a_trace_is_the_step(tried: Tried) -> Iterator[str]:
    """Every event of the trace lies inside the step, and the events of each part sum to its time in the estimate."""
    try:
        traced = trace(tried.run)
    except EstimateError:
        return
    seconds = traced.seconds
    if any(not -ROUNDING * seconds <= one.start <= one.end <= seconds * (1 + 1e-6) for one in traced.events):
        yield f"an event is not inside the step of {seconds} s"
    parts = traced.parts()
    for part, time in traced.estimate.time.items():
        if not math.isclose(parts[part], time, rel_tol=1e-6, abs_tol=1e-9 * seconds):
            yield f"the events of {part} come to {parts[part]} s, not {time}"
