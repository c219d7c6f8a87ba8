"""Share of layers covered by full recomputation, by hand: FLOPs, time and memory use the same share."""

from dataclasses import replace

import numpy as np
import pytest

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Model
from gpuhours.flops import hardware_flops, model_flops, part_flops
from gpuhours.layout.layout import Layout
from gpuhours.layout.recompute import covered, covered_on
from gpuhours.memory import memory
from gpuhours.step.recompute import repeated
from gpuhours.step.schedule import Passes
from gpuhours.workload import Workload
from tests.round_machine import MIXTURE, MODEL, TOKENS, workload

DEPTH = MODEL.model_copy(update={"layers": 32}).model(TOKENS)
LATER = MIXTURE.model_copy(update={"experts": Experts(count=8, top_k=2, first_dense=1)})
"""One layer without experts, three with."""


@pytest.mark.parametrize(
    ("each", "pipeline", "share"), [(2, 4, 0.25), (1, 1, 1 / 32), (8, 8, 1.0), (None, 4, 1.0), (0, 4, 0.0)]
)
def test_recompute_layers_are_of_every_stage(each: int | None, pipeline: int, share: float) -> None:
    """``recompute_layers`` on each of p stages with L layers in total: r p / L, at most all of them."""
    layout = Layout(recompute="full", recompute_layers=each)  # type: ignore[arg-type]
    assert covered(layout, DEPTH, DEPTH.stacks[0], pipeline) == pytest.approx(share)
    assert covered_on(layout, 32 / pipeline) == pytest.approx(share)


def test_a_stage_of_one_layer_is_covered_by_one() -> None:
    """And a stage without layers by none or one, whichever: nothing runs there."""
    one = Layout(recompute="full", recompute_layers=1)  # type: ignore[arg-type]
    assert [float(covered_on(one, layers)) for layers in (0, 1, 2, 4)] == [1, 1, 0.5, 0.25]


def dense_and_experts(**layout: int) -> Workload:
    return workload(LATER, recompute="full", **layout)


@pytest.mark.parametrize(("each", "share"), [(1, 0.25), (2, 0.5), (4, 1.0)])
def test_layers_of_every_kind_count_together(each: int, share: float) -> None:
    """Of one dense layer and three with experts r layers are repeated, not r of each kind: time repeated r of four of either kind,
    and FLOPs r of four, so that HFU / MFU is the work that the step repeats; a dense layer was repeated whole."""
    asked = dense_and_experts(recompute_layers=each)
    dense, sparse = asked.model.stacks
    parts = {"GEMMs": Passes(3.0)}
    assert repeated(dense, asked, parts) == pytest.approx(3 * share)
    assert repeated(sparse, asked, parts) == pytest.approx(3 * share)
    again = hardware_flops(asked.model, 1, asked.layout, asked.software) - model_flops(asked.model)
    assert again == pytest.approx(share * sum(part_flops(stack).forward for stack in asked.model.stacks))


def test_flops_are_repeated_as_often_as_time_is() -> None:
    """Layers that transformers checkpoints within a checkpointed stage (Swin) run forward twice more, in time and in FLOPs; HFU counted
    one of the two."""
    asked = workload(recompute="full")
    (stack,) = asked.model.stacks
    model = replace(
        asked.model, parts=tuple(replace(one, nested=True) if one is stack else one for one in asked.model.parts)
    )
    for model_code, times in ((False, 1), (True, 2)):
        software = asked.software.model_copy(update={"model_code": model_code})
        own = replace(asked, model=model, software=software)
        assert repeated(own.model.stacks[0], own, {"GEMMs": Passes(3.0)}) == pytest.approx(3.0 * times)
        again = hardware_flops(model, 1, own.layout, software) - model_flops(model)
        assert again == pytest.approx(times * part_flops(stack).forward)


def test_a_stage_keeps_what_its_other_layers_leave() -> None:
    """With one of four layers covered, a quarter of the saving of all four is made; it used to be one layer of each kind, so two."""
    none, all_of_them, one, two = (
        float(memory(workload(LATER, recompute=mode, recompute_layers=each)).moments[0][0]["activations"])
        for mode, each in (("none", None), ("full", None), ("full", 1), ("full", 2))
    )
    assert one == pytest.approx(none - (none - all_of_them) / 4)
    assert two == pytest.approx(none - (none - all_of_them) / 2)


def test_an_encoder_in_front_is_no_layer_of_the_stream() -> None:
    """A frozen encoder's layers used to take shares of the language model's, so that FLOPs repeated less than time and memory."""
    inside = LATER.model(TOKENS)
    wider = MODEL.model_copy(update={"hidden": 2048, "layers": 12, "heads": 16, "trainable": "frozen"}).model(TOKENS)
    both = Model("both", (*wider.stacks, *inside.parts), inside.hidden)
    layout = Layout(recompute="full", recompute_layers=2)  # type: ignore[arg-type]
    shares = [float(np.asarray(covered(layout, both, stack, 1))) for stack in both.stacks]
    assert shares == pytest.approx([2 / 12, 0.5, 0.5])
