"""Refused layouts and the reasons: for each rule one layout that just breaks it and one that just satisfies it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Model, Stack
from gpuhours.inputs.errors import EstimateError
from gpuhours.layout.choices import Coded, Recompute, Sharding, VisionPlacement, words
from gpuhours.layout.layout import Layout
from gpuhours.layout.ranks import ranks_of
from gpuhours.layout.schedules import Schedule
from gpuhours.layout.sequence_methods import SequenceMethod
from gpuhours.layout.validity import (
    _uneven_chunks,
    offered,
    refuse,
    refuse_interleave,
    refuse_placement,
    remarks,
    violations,
)
from tests.round_machine import MODEL, TOKENS, machine

MIXED = MODEL.model_copy(update={"experts": Experts(count=6, top_k=2)}).model(TOKENS)
PLAIN = MODEL.model(TOKENS)
DEEP = MODEL.model_copy(update={"layers": 12}).model(TOKENS)
SEEN = replace(
    PLAIN, parts=(MODEL.model_copy(update={"hidden": 512, "heads": 6}).model(TOKENS).stacks[0], *PLAIN.parts)
)
"""An encoder with six heads before a decoder with eight."""
NOT_ALL = "tensor x pipeline x context x data is not the number of accelerators"
UNEVEN = "pipeline x interleave does not divide the layers"


def broken(model: Model = PLAIN, gpus: int = 8, batch: int = 16, **layout: Any) -> set[str]:
    """Return the reasons why a layout cannot run, without the suggested degrees."""
    chosen, cluster = Layout(**layout), machine(gpus)
    found = violations(model, batch, chosen, cluster, ranks_of(chosen, cluster, batch, model))
    return {reason.partition(";")[0] for reason, where in found.items() if np.all(where)}


@pytest.mark.parametrize(
    ("reason", "wrong", "right"),
    [
        (NOT_ALL, {"data": 3, "tensor": 2}, {"data": 4, "tensor": 2}),
        (NOT_ALL, {"data": 4, "tensor": 2, "pipeline": 2}, {"data": 2, "tensor": 2, "pipeline": 2}),
        (NOT_ALL, {"model": SEEN, "data": 8, "vision": "separate", "vision_gpus": 2}, {"model": SEEN, "data": 6, "batch": 12,
                                                                                         "vision": "separate", "vision_gpus": 2}),
        ("data x microbatch does not divide the global batch", {"batch": 12}, {"batch": 8}),
        ("data x microbatch does not divide the global batch", {"microbatch": 3}, {"microbatch": 2}),
        (UNEVEN, {"model": DEEP, "pipeline": 2, "interleave": 5, "gpus": 2}, {"model": DEEP, "pipeline": 2, "interleave": 3, "gpus": 2}),
        (UNEVEN, {"model": DEEP, "pipeline": 4, "interleave": 4, "gpus": 4}, {"model": DEEP, "pipeline": 7, "interleave": 2, "gpus": 7,
                                                                              "batch": 14}),
        ("there are fewer layers than pipeline chunks", {"model": DEEP, "pipeline": 7, "interleave": 2, "gpus": 7, "batch": 14},
         {"model": DEEP, "pipeline": 6, "interleave": 2, "gpus": 6, "batch": 12}),
        ("interleaving needs a pipeline", {"interleave": 2}, {"model": DEEP, "pipeline": 2, "interleave": 2}),
        ("expert x expert_tensor does not divide tensor x context x data", {"model": MIXED, "expert": 3}, {"model": MIXED, "expert": 2}),
        ("expert x expert_tensor does not divide tensor x context x data", {"model": MIXED, "expert": 2, "expert_tensor": 8},
         {"model": MIXED, "expert": 2, "expert_tensor": 4}),
        ("optimizer_in_backward applies gradients before the next micro-batch adds to them", {"optimizer_in_backward": True},
         {"optimizer_in_backward": True, "batch": 8}),
        ("shard_group does not divide the data-parallel ranks", {"sharding": "zero3", "shard_group": 3},
         {"sharding": "zero3", "shard_group": 4}),
        ("ulysses does not divide context", {"context": 4, "sequence_method": "hybrid", "ulysses": 3},
         {"context": 4, "sequence_method": "hybrid", "ulysses": 2}),
        ("vision: separate requires vision_gpus", {"model": SEEN, "vision": "separate"},
         {"model": SEEN, "vision": "separate", "vision_gpus": 4, "gpus": 12, "batch": 24}),
        ("vision: separate requires an encoder in front of a language model", {"vision": "separate", "vision_gpus": 4},
         {"model": SEEN, "vision": "separate", "vision_gpus": 4, "batch": 12}),
        ("tensor x ulysses does not divide the attention heads", {"tensor": 4, "context": 4, "sequence_method": "ulysses", "gpus": 16},
         {"tensor": 2, "context": 4, "sequence_method": "ulysses"}),
        ("tensor x ulysses does not divide the attention heads", {"model": SEEN, "tensor": 16, "gpus": 16}, {"model": SEEN, "tensor": 4}),
        ("expert does not divide the experts", {"model": MIXED, "expert": 4}, {"model": MIXED, "expert": 2}),
    ],
)  # fmt: skip
def test_a_rule_and_its_edge(reason: str, wrong: dict[str, Any], right: dict[str, Any]) -> None:
    assert reason in broken(**wrong)
    assert reason not in broken(**right)


def test_stages_that_are_stated_need_no_equal_chunks() -> None:
    """3, 0, 5 and 4 layers: they need not divide evenly, and not every chunk needs a layer."""
    layout = {"pipeline": 4, "gpus": 4, "stage_layers": (3, 0, 5, 4)}
    assert not broken(DEEP, **layout)
    assert not broken(PLAIN, gpus=5, batch=5, pipeline=5, stage_layers=(1, 1, 1, 1, 0))


def test_chunks_run_interleaved_alone() -> None:
    orders = marked(pipeline=2, interleave=2, schedule=np.array([0, 1, 4]))
    assert orders["interleave runs under schedule: interleaved"] == [True, False, True]
    assert "interleave runs under schedule: interleaved" not in marked(pipeline=2, schedule=np.array([0, 1, 4]))


def marked(**layout: Any) -> dict[str, list[bool]]:
    """Reasons that mark some of a sweep's layouts."""
    chosen, cluster = Layout.model_construct(set(layout), **{**dict(Layout()), **layout}), machine(8)
    found = violations(PLAIN, 8, chosen, cluster, ranks_of(chosen, cluster, 8, PLAIN))
    return {reason: np.asarray(where).tolist() for reason, where in found.items() if np.any(where)}


def test_what_is_idle_on_some_layouts_of_a_sweep_is_marked_there() -> None:
    layers = "recompute_layers says how many layers `recompute: full` covers"
    shards = "shard_group has no effect: nothing is sharded"
    assert marked(recompute=np.array([0, 1, 2]), recompute_layers=2)[layers] == [True, True, False]
    assert marked(sharding=np.array([0, 1, 3]), shard_group=4)[shards] == [True, False, False]
    alike = marked(
        recompute=np.array([0, 2]),
        recompute_layers=np.array([1, 2]),
        sharding=np.array([0, 1]),
        shard_group=np.array([4, 8]),
    )
    assert not alike.keys() & {layers, shards}, "keys that vary with the others say nothing once"
    assert not marked(recompute=np.array([0, 2]), sharding=np.array([0, 1])).keys() & {layers, shards}


@pytest.mark.parametrize(
    ("key", "model", "idle", "meant"),
    [
        ("expert", PLAIN, {"expert": 2}, {"expert": 1}), ("expert_tensor", PLAIN, {"expert_tensor": 2}, {"expert_tensor": 1}),
        ("expert", MIXED, None, {"expert": 2, "expert_tensor": 2}),
        ("vision_gpus", SEEN, {"vision_gpus": 1}, {"vision_gpus": 1, "vision": "separate"}),
        ("vision_gpus", PLAIN, None, {"vision_gpus": 0}), ("expert_tensor", PLAIN, None, {"expert_tensor": None}),
        ("recompute_layers", PLAIN, None, {"recompute_layers": None}), ("shard_group", PLAIN, None, {"shard_group": None}),
        ("ulysses", PLAIN, {"ulysses": 1}, {"ulysses": None}), ("loss_blocks", PLAIN, None, {"loss_blocks": None}),
        ("recompute_layers", PLAIN, {"recompute_layers": 2, "recompute": "selective"}, {"recompute_layers": 2, "recompute": "full"}),
        ("shard_group", PLAIN, {"shard_group": 4}, {"shard_group": 4, "sharding": "zero1"}),
        ("ulysses", PLAIN, {"ulysses": 2, "context": 4}, {"ulysses": 2, "context": 2, "sequence_method": "hybrid"}),
        ("ulysses", PLAIN, {"ulysses": 2, "sequence_method": "hybrid"}, {"context": 4, "sequence_method": "hybrid"}),
        ("loss_blocks", replace(PLAIN, parts=PLAIN.stacks), {"loss_blocks": 2}, {"loss_blocks": 1}),
        ("loss_blocks", PLAIN, None, {"loss_blocks": 2}),
        ("stage_layers", PLAIN, {"pipeline": 2, "stage_layers": (2, 3)}, {"pipeline": 2, "stage_layers": (1, 3)}),
        ("interleave", DEEP, {"pipeline": 2, "interleave": 5}, {"pipeline": 2, "interleave": 3}),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_meant(key: str, model: Model, idle: dict[str, Any] | None, meant: dict[str, Any]) -> None:
    refuse(Layout(**meant), model)
    if idle is not None:
        with pytest.raises(EstimateError) as error:
            refuse(Layout(**idle), model)
        assert error.value.where == f"layout.{key}"


def test_a_sweep_is_not_refused_but_marked() -> None:
    refuse(Layout.model_construct(**{**dict(Layout()), "interleave": np.array([1, 5]), "shard_group": 4}), PLAIN)


def test_chunks_are_named_that_would_divide() -> None:
    """Twelve layers on two stages: one, two, three or six chunks; with one or two layers missing at the ends, all but five and four."""
    with pytest.raises(EstimateError, match="12 layers do not divide into 2 stages of 5 chunks") as error:
        refuse_placement(Layout(pipeline=2, interleave=5), 12)
    assert error.value.hint.startswith("interleave may be 1, 2, 3 or 6 at pipeline 2")
    with pytest.raises(EstimateError, match="5 layers, but the model has 4"):
        refuse_placement(Layout(pipeline=2, stage_layers=(2, 3)), 4)
    refuse_interleave(Layout(interleave=5), 10, [1, 2, 4])
    with pytest.raises(EstimateError, match=r"any pipeline degree here \(2, 4\)"):
        refuse_interleave(Layout(interleave=5), 12, [1, 2, 4])
    with pytest.raises(EstimateError, match=r"none above 1"):
        refuse_interleave(Layout(interleave=5), 12, [1])
    with pytest.raises(EstimateError, match="12 layers do not divide into stages of 2 chunks"):
        refuse_interleave(Layout(interleave=2), 12, [5])
    for kept in (Layout(), Layout(interleave=3), Layout(interleave=5, stage_layers=(2, 2, 2, 2, 4))):
        refuse_interleave(kept, 12, [1, 2])


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ({"sequence_method": "ring"}, ["sequence_method"]), ({"sequence_method": "ring", "context": 2}, []), ({}, []),
        ({"sequence_method": "zigzag"}, []), ({"vision": "replicated"}, ["vision"]),
        ({"recompute": "full", "recompute_layers": 3, "pipeline": 2}, ["recompute_layers"]),
        ({"recompute": "full", "recompute_layers": 2, "pipeline": 2}, []),
        ({"recompute": "full", "recompute_layers": 2, "pipeline": 3}, []),
        ({"recompute": "full", "recompute_layers": 9}, []),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_said(layout: dict[str, Any], said: list[str]) -> None:
    """With four layers, two stages have two layers each, three stages at most two; without a stated pipeline, stages are unknown."""
    assert [remark.partition(" ")[0].removeprefix("layout.") for remark in remarks(Layout(**layout), PLAIN)] == said
    assert not [remark for remark in remarks(Layout(vision="replicated"), SEEN) if "vision" in remark]


def test_a_pipeline_is_offered_with_no_more_than_zero1() -> None:
    several = Layout.model_construct(
        **{**dict(Layout()), "sharding": np.array([1, 2, 2, 3]), "pipeline": np.array([2, 2, 1, 4])}
    )
    assert np.asarray(offered(several)).tolist() == [True, False, True, False]
    assert isinstance(SEEN.encoder[0], Stack)


WORDS: tuple[tuple[type[Coded], tuple[str, ...]], ...] = (
    (Sharding, ("none", "zero1", "zero2", "zero3")),
    (Recompute, ("none", "selective", "full")),
    (Schedule, ("1f1b", "interleaved", "zb-1p", "zb-2p", "gpipe")),
    (VisionPlacement, ("first-stage", "replicated", "separate")),
    (SequenceMethod, ("all-gather", "ring", "zigzag", "ulysses", "hybrid")),
)


@pytest.mark.parametrize(("choice", "known"), WORDS, ids=[choice.__name__ for choice, _ in WORDS])
def test_words_keep_their_numbers(choice: type[Coded], known: tuple[str, ...]) -> None:
    """A sweep stores the enum members as numbers: more sharding and more recomputation are larger numbers. New ones come behind."""
    assert list(words(choice).items())[: len(known)] == [(word, number) for number, word in enumerate(known)]


@pytest.mark.parametrize("varied", ["context", "sequence_method", "vision"])
def test_of_a_sweep_nothing_is_remarked(varied: str) -> None:
    """Remarks speak of one layout; a sweep over any of their keys has none."""
    assert remarks(Layout().replaced(**{varied: np.array([1, 2])}), PLAIN) == ()


@pytest.mark.parametrize(("degrees", "named"), [([1], 0), ([2], 1), ([2, 3, 4, 6], 4), ([2, 3, 4, 6, 12], 0)])
def test_chunks_are_suggested_for_up_to_four_degrees(degrees: list[int], named: int) -> None:
    asked = ranks_of(Layout().replaced(pipeline=np.array(degrees), interleave=5), machine(12), 64, DEEP)
    reason = _uneven_chunks(12, asked)
    assert reason.startswith(UNEVEN)
    assert ("interleave may be" in reason, reason.count(" at pipeline ")) == (named > 0, named)


def test_layers_of_an_encoder_are_no_chunks_of_the_pipeline() -> None:
    """Four layers of the decoder are too few for eight stages, whatever the encoder in front has."""
    few = "there are fewer layers than pipeline chunks"
    assert few in broken(SEEN, pipeline=8)
    assert few not in broken(SEEN, pipeline=4)


@pytest.mark.parametrize(
    ("counts", "dividing"), [((6, 8), {1, 2}), ((8, 6), {1, 2}), ((8, 1), {1, 2, 4, 8}), ((1, 1), {1, 2, 3, 4, 8})]
)
def test_expert_ranks_divide_the_experts_of_every_stack(counts: tuple[int, int], dividing: set[int]) -> None:
    """Six and eight experts can both be shared out over one or two ranks; a stack without experts shares out none."""
    several = [
        (MODEL if count == 1 else MODEL.model_copy(update={"experts": Experts(count=count, top_k=1)})).model(TOKENS)
        for count in counts
    ]
    both = replace(PLAIN, parts=(*several[0].stacks, *several[1].stacks, *several[1].ends))
    refused = "expert does not divide the experts"
    assert {
        degree for degree in (1, 2, 3, 4, 8) if refused not in broken(both, gpus=24, batch=24, expert=degree)
    } == dividing


@pytest.mark.parametrize(
    ("vocabularies", "meant"), [((0,), False), ((1,), True), ((0, 512), True), ((512, 0), True), ((0, 0), False)]
)
def test_a_loss_is_of_any_end_with_a_vocabulary(vocabularies: tuple[int, ...], meant: bool) -> None:
    """Only a model that predicts tokens has a loss over a vocabulary that can be computed in blocks."""
    ends = tuple(replace(PLAIN.ends[0], vocabulary=vocabulary) for vocabulary in vocabularies)
    model = replace(PLAIN, parts=(*PLAIN.stacks, *ends))
    with nullcontext() if meant else pytest.raises(EstimateError, match="loss"):
        refuse(Layout(loss_blocks=2), model)
