"""The events of the traced step add up to the estimate for any schedule, and Perfetto can open the trace."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.schedules import Schedule
from gpuhours.questions.reporting.schedule_orders import (
    BACKWARD,
    FORWARD,
    WEIGHT,
    TimedPipeline,
    length,
    orders,
    simulate,
)
from gpuhours.questions.reporting.trace import KINDS, PASSES, Trace, trace
from gpuhours.run.spec import from_dict, load
from gpuhours.step.breakdown import PARTS
from tests.conftest import ONE_RANK, Command

RUNS = Path(__file__).parents[2] / "runs"
GPT = RUNS / "gpt-22b.yaml"
CASES: dict[str, tuple[Path, dict[str, Any]]] = {
    "one rank": (GPT, {}),
    "video, encoder on every rank": (RUNS / "x-gen.yaml", {}),
    "uneven layers": (GPT, {"layout.tensor": 2, "layout.pipeline": 8, "model.layers": 45}),
    "shards": (GPT, {"layout.tensor": 1, "layout.sharding": "zero3", "layout.recompute": "full"}),
    **{
        f"{schedule} of {pipeline}, {microbatch} a time": (
            GPT,
            {
                "layout.tensor": 2, "layout.pipeline": pipeline, "layout.microbatch": microbatch,
                "layout.schedule": schedule, "layout.interleave": 3 if schedule == "interleaved" else 1,
            },
        )
        for schedule in ("1f1b", "gpipe", "interleaved", "zb-1p", "zb-2p")
        for pipeline in (2, 8)
        for microbatch in (1, 4)
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def traced(request: pytest.FixtureRequest) -> Trace:
    return trace(load(*CASES[request.param]))


def test_the_events_add_up_to_the_estimate(traced: Trace) -> None:
    whole = traced.seconds
    assert max(event.end for event in traced.events) == pytest.approx(whole, rel=1e-9)
    assert traced.estimate.outcome.step is not None
    for part, seconds in traced.parts().items():
        assert seconds == pytest.approx(float(traced.estimate.time[part]), abs=1e-9 * whole), part
    for rank in range(traced.ranks):
        own = [event for event in traced.events if event.rank == rank and event.part]
        assert sum(event.end - event.start for event in own) == pytest.approx(whole, rel=1e-9)


def test_the_document_is_in_the_trace_event_format(traced: Trace) -> None:
    document = json.loads(json.dumps(traced.document(), allow_nan=False))
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    named, rows = set(), defaultdict(list)
    for event in document["traceEvents"]:
        assert {"name", "ph", "ts", "pid", "tid"} <= set(event)
        assert event["ph"] in ("X", "M")
        if event["ph"] == "M":
            named.add((event["name"], event["pid"]))
        else:
            assert event["ts"] >= 0
            assert event["dur"] >= 0
            rows[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for rank, thread in rows:
        assert {("process_name", rank), ("thread_name", rank)} <= named
        assert thread in (PASSES, KINDS)
    for spans in rows.values():
        for (_, end), (start, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
            assert start >= end - 2e-3, "one thing at a time on a track, to the nanosecond that it is written in"
    longest = max(end for spans in rows.values() for _, end in spans)
    assert longest == pytest.approx(traced.seconds * 1e6, rel=1e-6)


def test_1f1b_and_gpipe_are_played_as_their_equation_has_them() -> None:
    for schedule in ("1f1b", "gpipe"):
        found = trace(load(*CASES[f"{schedule} of 8, 1 a time"]))
        assert found.simulated == pytest.approx(found.scheduled, rel=1e-6)
        assert found.early == 0.0


def test_every_pass_waits_for_the_one_before() -> None:
    found = trace(load(*CASES["1f1b of 8, 4 a time"]))
    ends = {(event.rank, event.name): event for event in found.events if event.part == ""}
    for (rank, name), event in ends.items():
        if name.startswith(FORWARD) and rank:
            assert event.start >= ends[rank - 1, name].end - 1e-12
        if name.startswith(BACKWARD) and rank < found.ranks - 1:
            assert event.start >= ends[rank + 1, name].end - 1e-12


EQUAL = {FORWARD: 1.0, BACKWARD: 2.0, WEIGHT: 0.0}
NOTHING = dict.fromkeys(EQUAL, 0.0)


@pytest.mark.parametrize(
    ("schedule", "chunks", "seconds", "takes"),
    [
        # by hand, p 4, m 8, equal stages of 3 s: m T + (p - 1) T; interleaved (p - 1) T / v; ZB-H1 (p - 1) (F + B - W);
        # ZB-H2 (p - 1) F until the last rank has work, then none idle
        (Schedule.f1b1, 1, EQUAL, 33.0),
        (Schedule.gpipe, 1, EQUAL, 33.0),
        (Schedule.interleaved, 3, {name: value / 3 for name, value in EQUAL.items()}, 27.0),
        (Schedule.zb1p, 1, {FORWARD: 1.0, BACKWARD: 1.0, WEIGHT: 1.0}, 27.0),
        (Schedule.zb2p, 1, {FORWARD: 1.0, BACKWARD: 1.0, WEIGHT: 1.0}, 27.0),
    ],
)
def test_equal_stages_take_what_the_papers_say(
    schedule: Schedule, chunks: int, seconds: dict[str, float], takes: float
) -> None:
    line = TimedPipeline(schedule, 8, [[seconds] * chunks for _ in range(4)], NOTHING)
    assert length(simulate(line, orders(line))) == pytest.approx(takes)


@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("pipeline", [2, 3, 5])
@pytest.mark.parametrize("microbatches", [1, 2, 5, 12, 13])
def test_every_order_comes_to_an_end(schedule: Schedule, pipeline: int, microbatches: int) -> None:
    chunks = 3 if schedule == Schedule.interleaved else 1
    line = TimedPipeline(schedule, microbatches, [[{**EQUAL, WEIGHT: 1.0}] * chunks for _ in range(pipeline)], NOTHING)
    kinds = 3 if schedule in (Schedule.zb1p, Schedule.zb2p) else 2
    played = simulate(line, orders(line))
    assert [len(passes) for passes in played] == [microbatches * chunks * kinds] * pipeline
    assert all(len({one.what for one in passes}) == len(passes) for passes in played)


def placed(**vision: Any) -> Trace:
    """Return the video run with its encoder placed as in ``vision``."""
    described = yaml.safe_load((RUNS / "x-gen.yaml").read_text(encoding="utf-8"))
    del described["assumptions"]["layout.vision"]
    described["layout"] |= vision
    return trace(from_dict(described))


def test_an_encoder_on_the_first_stage_holds_up_the_pipeline() -> None:
    found = placed(vision="first-stage")
    assert found.parts()["pipeline bubble"] == pytest.approx(found.estimate.time["pipeline bubble"], rel=1e-6)
    idle = [0.0] * found.ranks
    for event in found.events:
        idle[event.rank] += (event.end - event.start) * (event.part == "pipeline bubble")
    assert idle[0] == min(idle)


def test_an_encoder_on_gpus_of_its_own_is_a_process_of_its_own() -> None:
    found = placed(vision="separate", vision_gpus=256)
    apart = [event for event in found.events if event.rank == found.ranks]
    assert len(apart) == found.microbatches
    assert max(event.end for event in found.events) == pytest.approx(found.seconds)
    assert found.parts()["pipeline bubble"] == pytest.approx(found.estimate.time["pipeline bubble"], rel=1e-6)


def test_a_slow_encoder_does_not_change_the_language_models_own_bubble() -> None:
    """A language model that its host holds up fills its pipeline as slowly behind few encoder GPUs, for which it waits, as behind many:
    what is scheduled beyond its passes is the same, but for the features that the first stage gets."""
    bubbles, own = [], []
    for beside in (8, 64):
        run = yaml.safe_load((RUNS / "x-gen.yaml").read_text(encoding="utf-8"))
        run["model"]["language"] = {"params": "1B"}
        run |= {"software": "torch-eager", "training": {"global_batch": 8}, "assumptions": {}, "known": {}}
        run["data"] |= {"text_tokens": 64, "resolution": 224}
        run["hardware"]["gpus"] = 64 + beside
        run["layout"] = {
            "pipeline": 8,
            "sharding": "zero1",
            "microbatch": 1,
            "recompute": "none",
            "vision": "separate",
            "vision_gpus": beside,
        }
        found = trace(from_dict(run))
        inside = set(PARTS) - {"pipeline bubble", "data communication", "optimiser"}
        bubbles.append(found.estimate.time["pipeline bubble"])
        own.append(found.scheduled - sum(found.estimate.time[part] for part in inside))
    assert bubbles[0] > 2 * bubbles[1]
    assert own[0] == pytest.approx(own[1], rel=0.01)


def test_without_a_step_there_is_nothing_to_trace() -> None:
    with pytest.raises(EstimateError, match="no predicted step"):
        trace(load(GPT, {"hardware.gpus": None, "hardware.accelerator": None}))


def test_the_command_writes_the_file_and_says_what_it_adds_up_to(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "step.json"
    ran = gpuhours_command("trace", str(GPT), "-o", str(path), "--json")
    assert (ran.code, ran.err) == (0, "")
    said, written = json.loads(ran.out), json.loads(path.read_text(encoding="utf-8"))
    assert said["schema"].startswith("gpuhours/trace/")
    assert sum(part["seconds"] for part in said["time"]) == pytest.approx(said["step_time"])
    assert len([event for event in written["traceEvents"] if event["ph"] == "X"]) == said["events"]
    ran = gpuhours_command("trace", str(GPT), "--tensor", "4", "--pipeline", "2", "-o", str(path), "--force")
    assert ran.code == 0
    assert "2 pipeline ranks" in ran.out
    assert max(len(line.rstrip()) for line in ran.out.splitlines()) <= 80
    assert (
        gpuhours_command(
            "trace",
            str(GPT),
            *ONE_RANK,
            "-o",
            str(path),
            "--force",
        ).code
        == 1
    ), "22 B on one rank do not fit"


def test_nowhere_to_write_is_bad_input(gpuhours_command: Command, tmp_path: Path) -> None:
    assert gpuhours_command("trace", str(GPT)).code == 2
    ran = gpuhours_command("trace", str(GPT), "-o", str(tmp_path / "no" / "step.json"))
    assert ran.code == 2
    assert "cannot be written" in ran.err
