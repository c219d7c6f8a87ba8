"""Activations of a block in bytes per token, varying one policy, format or fact at a time, against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.architecture.operators import Elementwise, Linear, Pointwise, Role, Split, Trainable
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.recompute import Unkept
from gpuhours.memory.activations import (
    Saved,
    _group_of_input,
    _inputs_saved,
    _operands,
    _scores_saved,
    ends_saved,
    passing_through,
    saved,
)
from gpuhours.memory.buffers import communicators, context_buffers
from tests.round_machine import ADAPTED, MIXTURE, MODEL, TOKENS, workload

NORMS, ROTATED, SWIGLU, OPERANDS = 2 * 2 * 1024, 2 * 10 * 128, 2 * 2 * 2048, 2 * 20 * 128 + 4 * 8
"""Inputs of two norms, rotated queries and keys, gate and up, and Q, K, V and output with 4 bytes per head."""
INPUTS = 2 * (1024 + 1024 + 2048)
"""Inputs of queries, keys, values; of gate and up; of down. The output of attention is already among the operands."""
WHOLE = NORMS + ROTATED + SWIGLU + OPERANDS + INPUTS
BF16 = Precision("bf16")


def block(model: Any = MODEL, precision: Precision = BF16, *, stream: float = 2.0, unfused: bool = False,
          unkept: Unkept = Unkept(), trainable: Trainable | None = None, **facts: Any) -> Saved:  # fmt: skip  # noqa: B008 - frozen
    asked = workload(model)
    part = asked.model.stacks[0] if trainable is None else replace(asked.model.stacks[0], trainable=trainable)
    stated = asked.software.memory.model_copy(update={"saved": {"swiglu": 2.0, "permute": 1.0}, **facts})
    return saved(part, precision, stated, stream=stream, unfused=unfused, unkept=unkept)


def kept(*args: Any, **options: Any) -> float:
    return float(block(*args, **options).on_rank(workload().ranks))


@pytest.mark.parametrize(("unkept", "less"), [
    (Unkept(), 0),
    (Unkept(heads=True), OPERANDS),
    (Unkept(inputs=frozenset({Role.QKV})), 2 * 1024),
    (Unkept(inputs=frozenset({Role.MLP_OUT})), 2 * 2048),
    (Unkept(experts=frozenset({Role.MLP_OUT})), 0),  # a dense layer has no experts
    (Unkept(operators=frozenset({Pointwise.SWIGLU})), SWIGLU),
    (Unkept(operators=frozenset({Pointwise.ROTARY, Pointwise.RMS_NORM})), ROTATED + NORMS),
    (Unkept(scores=True), 0),  # fused attention has none
])  # fmt: skip
def test_what_a_policy_drops(unkept: Unkept, less: float) -> None:
    assert kept(unkept=unkept) == pytest.approx(WHOLE - less)


def test_normed_and_rotated_queries_and_keys_have_one_copy() -> None:
    """The norm reads the output of the rotation: ten heads of 128 in 2 bytes are kept once beside the operands, as without it."""
    part = workload().model.stacks[0]
    norm = Elementwise(Pointwise.QK_NORM, 10 * 128, sharded=True)
    alone = tuple(one for one in part.block.elementwise if one.kind is not Pointwise.ROTARY)
    for elementwise in ((*part.block.elementwise, norm), (*alone, norm)):
        found = saved(
            replace(part, block=replace(part.block, elementwise=elementwise)), BF16, workload().software.memory.model_copy(
                update={"saved": {"swiglu": 2.0}}), stream=2.0, unfused=False)  # fmt: skip
        assert float(found.on_rank(workload().ranks)) == pytest.approx(WHOLE)


def test_scores_of_unfused_attention() -> None:
    """Eight heads of 512 keys in 2 bytes instead of 4 bytes per head; as many copies as the stack states."""
    assert kept(unfused=True) == pytest.approx(WHOLE - 4 * 8 + 8 * TOKENS * 2)
    assert kept(unfused=True, scores=7.0) == pytest.approx(WHOLE - 4 * 8 + 8 * TOKENS * 7)
    assert kept(unfused=True, unkept=Unkept(scores=True)) == pytest.approx(WHOLE - 4 * 8)


def test_scores_beside_a_sink_are_written_twice_in_the_format_of_the_run() -> None:
    """The softmax and what the GEMM reads, 2 bytes each, for each of 512 keys of eight heads, whatever the stack keeps otherwise."""
    part = workload().model.stacks[0]
    cores = tuple(replace(core, sunk=True, written=True) for core in part.block.attention)
    facts = workload().software.memory.model_copy(update={"saved": {"swiglu": 2.0}, "scores": 7.0})
    found = saved(
        replace(part, block=replace(part.block, attention=cores)), BF16, facts, stream=2.0, unfused=True)  # fmt: skip
    assert float(found.scores) == 8 * TOKENS * 2 * 2


def test_an_operator_without_a_figure_keeps_what_the_one_it_resembles_keeps() -> None:
    """A layer's scale as a residual sum: nothing, or what the stack states for either."""
    part = workload().model.stacks[0]
    scale = Elementwise(Pointwise.SCALE, 1024, sharded=False)
    part = replace(part, block=replace(part.block, elementwise=(*part.block.elementwise, scale)))
    for stated, kept_of_it in (({}, 0), ({"layer-scale": 2.0}, 2 * 2 * 1024)):
        facts = workload().software.memory.model_copy(update={"saved": {"swiglu": 2.0, **stated}})
        found = saved(part, BF16, facts, stream=2.0, unfused=False)
        assert float(found.on_rank(workload().ranks)) == pytest.approx(WHOLE + kept_of_it)


def test_scores_that_are_dropped_out() -> None:
    """Softmax, a mask byte and the dropped-out copy for each of 512 keys of eight heads: 5 B; a stream keeps half a byte."""
    asked = workload()
    part = asked.model.stacks[0]
    dropping = Elementwise(Pointwise.DROPOUT, 1024, sharded=False)
    part = replace(part, block=replace(part.block, elementwise=(*part.block.elementwise, dropping)))
    facts = asked.software.memory.model_copy(update={"saved": {"swiglu": 2.0}})
    found = saved(part, BF16, facts, stream=2.0, unfused=True)
    assert float(found.scores) == 8 * TOKENS * (2 + 1 + 2)
    assert (
        float(found.stream - saved(asked.model.stacks[0], BF16, facts, stream=2.0, unfused=True).stream)
        == 0.5 * 2 * 1024
    )


def test_narrow_operands_are_copies() -> None:
    """fp8: inputs are copied in 1 byte, and so is the output of attention."""
    assert kept(precision=Precision("fp8")) == pytest.approx(WHOLE - INPUTS / 2 + 8 * 128)


def test_a_wide_stream() -> None:
    """Norms keep their input in 4 bytes, and the input of a layer has the same width."""
    wide = block(stream=4.0)
    assert float(wide.on_rank(workload().ranks)) == pytest.approx(WHOLE + NORMS)
    assert float(wide.entry) == 4 * 1024


def test_casts_of_each_gemm() -> None:
    """Autocast that casts separately for each of three and two GEMMs: three more copies of 1,024 in 2 bytes."""
    amp = Precision("bf16", "amp")
    assert kept(precision=amp, casts_each=True) - kept(precision=amp) == pytest.approx(3 * 1024 * 2)
    assert kept(casts_each=True) == WHOLE, "nothing is cast where weights are in 16 bit"


def test_adapters_keep_what_they_read() -> None:
    """Adapters on queries, keys, values and output: one input of 1,024 and the output of attention; or one input for each of the four."""
    assert kept(ADAPTED) == pytest.approx(WHOLE - 2 * (1024 + 2048))
    assert kept(ADAPTED, adapter_inputs=2.0) == pytest.approx(WHOLE - INPUTS + 4 * 2 * 1024)
    assert kept(trainable=Trainable.PASS_THROUGH) == pytest.approx(WHOLE - INPUTS)


def test_where_things_are_kept() -> None:
    """Norms and inputs are split with the stream, gathered inputs are whole; heads and MLP are split; the widest output is transient."""
    plain, gathered = block(), block(gathered_inputs=True)
    assert (float(plain.stream), float(plain.whole)) == (NORMS + 2 * 2 * 1024, 0)
    assert (float(gathered.stream), float(gathered.whole)) == (NORMS, 2 * 2 * 1024)
    assert (float(plain.attention), float(plain.mlp)) == (ROTATED + OPERANDS, SWIGLU + 2 * 2048)
    assert (float(plain.passing), float(plain.outputs)) == (2 * 4096, 2 * (1536 + 1024 + 4096 + 1024))
    assert float(plain.attended) == 8 * (128 * 2 + 4)
    split = workload(gpus=2, tensor=2, sequence_parallel=True).ranks
    assert float(gathered.on_rank(split)) == pytest.approx((WHOLE - 2 * 2 * 1024) / 2 + 2 * 2 * 1024)


def test_experts_keep_two_copies_of_a_token() -> None:
    """Inputs of gate and up, and of down, for each of two experts; not kept if the policy drops those of experts."""
    whole = kept(MIXTURE)
    less = {
        role: whole - kept(MIXTURE, unkept=Unkept(experts=frozenset({role}))) for role in (Role.MLP_IN, Role.MLP_OUT)
    }
    assert less == {Role.MLP_IN: pytest.approx(2 * 2 * 1024), Role.MLP_OUT: pytest.approx(2 * 2 * 2048)}
    assert whole == kept(MIXTURE, unkept=Unkept(inputs=frozenset({Role.MLP_IN, Role.MLP_OUT})))
    assert whole - kept(MIXTURE, unkept=Unkept(inputs=frozenset({Role.ROUTER}))) == pytest.approx(2 * 1024)


def test_buffers_of_heads_and_rings_together() -> None:
    """Two ranks exchange heads, two rings hand on blocks: (2 q + k) 2 and (2 k) 2 + 4 k + 4 q bytes of a quarter of the tokens."""
    asked = workload(gpus=8, tensor=2, context=4, sequence_method="hybrid", ulysses=2)
    each = (2 * 1024 + 512) * 2 + 2 * 512 * 2 + 4 * 512 + 4 * 1024
    found = context_buffers(asked.model, TOKENS / 4, asked.ranks, BF16)
    assert float(found) == pytest.approx(TOKENS / 4 * each / 2)
    alone = workload(gpus=8, tensor=2, context=4, sequence_method="hybrid", ulysses=4)
    assert float(context_buffers(alone.model, TOKENS / 4, alone.ranks, BF16)) == pytest.approx(
        TOKENS / 4 * (2 * 1024 + 512) * 2 / 2
    ), "no ring is left to hand blocks on"
    assert int(communicators(asked.ranks)) == 3, "tensor, context, and the ranks with the same weights"


def test_gemms_that_read_one_tensor_keep_it_once() -> None:
    """The router and a shared expert of 512 read the same 1,024; gate and up of a parallel block read the inputs of attention."""
    shared = MIXTURE.model_copy(update={"experts": Experts(count=8, top_k=2, shared_width=512)})
    part, facts = workload(shared).model.stacks[0], workload().software.memory
    widths = [(linear.name, width) for linear, width in _inputs_saved(part)]
    assert widths == [("qkv", 1024), ("attention output", 1024), ("router", 1024), ("gate and up", 2 * 1024), ("down", 2 * 2048),
                      ("shared down", 512)]  # fmt: skip
    for all_reduces, kept_of in (
        (2, ["qkv", "attention output", "gate and up", "down"]),
        (1, ["qkv", "attention output", "down"]),
    ):
        whole = workload().model.stacks[0]
        beside = replace(whole, block=replace(whole.block, all_reduces=all_reduces))
        assert [linear.name for linear, _ in _inputs_saved(beside)] == kept_of
    assert _inputs_saved(replace(part, trainable=Trainable.FROZEN)) == []
    adapted = workload(ADAPTED).model.stacks[0]
    assert [linear.name for linear, _ in _inputs_saved(adapted)] == ["qkv", "attention output"]
    assert [_group_of_input(linear, part.block, BF16, facts) for linear in part.block.linears] == [
        "stream", "nowhere", "stream", "expert", "expert", "stream", "mlp"]  # fmt: skip


def test_what_ends_keep() -> None:
    """The head keeps its 1,024 inputs in 2 bytes, and its norm as many; pixels are in fp32, frozen or not."""
    last = workload().model.ends[-1]
    assert ends_saved(last, BF16, stream=2.0) == 1024 * (2 + 2)
    assert ends_saved(last, BF16, stream=4.0) == 1024 * (2 + 4)
    assert ends_saved(replace(last, trainable=Trainable.FROZEN), BF16, stream=2.0) == 0
    pixels = replace(last, linears=(Linear("patches", 588, 1024, Split.WHOLE),), first=True)
    assert ends_saved(pixels, BF16, stream=2.0) == 588 * (2 + 4)
    assert ends_saved(replace(pixels, trainable=Trainable.FROZEN), BF16, stream=2.0) == 588 * 4


@pytest.mark.parametrize(("tensor", "split", "expected"), [(1, False, 3 * 1024 + 2 * 4096), (4, False, 3 * 1024 + 2 * 1024),
                                                           (4, True, 3 * 256 + 2 * 1024)])  # fmt: skip
def test_a_frozen_block_while_it_runs(tensor: int, split: bool, expected: int) -> None:
    """Three times the stream, and gate and up of 4,096 with their GEMM, in 2 bytes; twice as much for two experts."""
    ranks = workload(gpus=tensor, tensor=tensor, sequence_parallel=split).ranks
    assert passing_through(workload().model.stacks[0], ranks, BF16) == 2 * expected
    if tensor == 1:
        assert passing_through(workload(MIXTURE).model.stacks[0], ranks, BF16) == 2 * (3 * 1024 + 2 * 2 * 4096)


def test_operands_of_a_core() -> None:
    """Eight heads of queries and output and two of keys and values, 2 x 128 each in 2 bytes, and 4 bytes a head unless scores are stored;
    keys for every head; none of another stream, which keeps them itself."""
    core = workload().model.stacks[0].block.attention[0]
    assert _operands(core, 2, unfused=False) == (8 + 2) * 256 * 2 + 8 * 4
    assert _operands(core, 2, unfused=True) == (8 + 2) * 256 * 2
    assert _operands(core, 4, unfused=True, repeated=True) == (8 + 8) * 256 * 4
    for repeated in (False, True):
        assert _operands(replace(core, keys=77), 2, unfused=True, repeated=repeated) == 8 * 256 * 2
    assert _operands(replace(core, value_dim=64), 2, unfused=True) == (8 + 2) * (128 + 64) * 2


def test_deberta_saves_what_its_gathers_read() -> None:
    """A table of 512 rows, 8 heads of 128, 256 tokens: two GEMMs of 512 numbers a head and token, and 2 x 8 x 512 x 128 numbers of
    copied rows over 256 tokens, on top of the scores; the first version reads 2 s rows at most and copies none."""
    asked = workload(MODEL)
    part = asked.model.stacks[0]
    core = replace(part.block.attention[0], places=512)
    facts = asked.software.memory

    def scores(one: Any) -> Any:
        part_of = replace(part, block=replace(part.block, attention=(one,)), sequence=256)
        return _scores_saved(part_of, 2.0, facts, True, False)

    plain, heads = scores(replace(core, places=None)), core.heads
    assert scores(core) - plain == 2 * heads * (512 + 512 * core.head_dim / 256) * 2
    assert scores(replace(core, near=True, places=1024)) - plain == 2 * heads * 512 * 2
