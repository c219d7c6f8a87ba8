"""Models given by their shape, by size alone or by configuration files; adapters, sweeps and bad input."""

import numpy as np
import pytest

from gpuhours.architecture import read_model
from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Pointwise, Split
from gpuhours.architecture.standard import StandardShape
from gpuhours.data import Data
from gpuhours.flops import model_flops
from gpuhours.inputs.errors import EstimateError

TEXT = Data(seq_len=2048)
SMALL = {"layers": 4, "hidden": 512, "heads": 8, "vocab": 32000}


@pytest.mark.parametrize("size", ["125M", "1.3B", "7B", "9.5B", "13B", "29.7B", "30B", "70B", "175B", "405B", "1T"])
def test_a_shape_known_by_size_has_that_size(size: str) -> None:
    spec = read_model({"params": size})
    assert isinstance(spec, StandardShape)
    assert spec.build(TEXT).parameters == pytest.approx(spec.params, rel=0.015)
    shape = spec.shape
    assert shape.hidden == shape.heads * 128
    assert 1.0 <= shape.ffn_width / shape.hidden < 6
    (supplied,) = spec.assumptions(TEXT)
    assert "only the size is known" in supplied.reason
    assert "arXiv" in supplied.source
    assert str(shape.layers) in supplied.value


def test_sizes_of_public_families_get_shapes_like_theirs() -> None:
    for size, layers, hidden in (
        ("6.7B", 32, 4096),
        ("13B", 40, 5120),
        ("65.2B", 80, 8192),
        ("1.3B", 24, 2048),
    ):
        shape = read_model({"params": size}).shape  # type: ignore[attr-defined]
        assert (shape.layers, shape.hidden) == (layers, hidden)


@pytest.mark.parametrize(
    ("size", "active", "chosen"), [("46.7B", "12.9B", 2), ("6.9B", "1.3B", 8), ("671B", "37B", 8), ("117B", "5.1B", 8)]
)
def test_a_mixture_known_by_its_sizes_has_both(size: str, active: str, chosen: int) -> None:
    spec = read_model({"params": size, "active": active})
    assert isinstance(spec, StandardShape)
    model = spec.build(TEXT)
    assert model.parameters == pytest.approx(spec.params, rel=0.015)
    assert model.active_parameters == pytest.approx(spec.active, rel=0.015)
    assert spec.shape.experts is not None
    assert spec.shape.experts.top_k == chosen
    assert "experts" in spec.assumptions(TEXT)[0].value


def test_no_more_parameters_are_active_than_there_are() -> None:
    with pytest.raises(EstimateError, match="active parameters exceed the total of"):
        read_model({"params": "7B", "active": "7B"})


def test_sizes_may_be_swept() -> None:
    sizes = np.geomspace(2e8, 8e11, 200)
    model = read_model({"params": "30B"}).model_copy(update={"params": sizes}).build(TEXT)
    np.testing.assert_allclose(model.parameters, sizes, rtol=0.015)
    assert np.all(np.diff(model_flops(model)) > 0)


def test_any_number_of_a_shape_may_be_an_array() -> None:
    names = ("llama-7b", "llama-13b", "llama-65b")
    specs = [read_model(name) for name in names]
    fields = ("layers", "hidden", "heads", "ffn_hidden")
    update = {field: np.array([getattr(spec, field) for spec in specs]) for field in fields}
    together = specs[0].model_copy(update=update).build(Data(seq_len=4096))
    alone = [spec.build(Data(seq_len=4096)) for spec in specs]
    np.testing.assert_array_equal(together.parameters, [model.parameters for model in alone])
    np.testing.assert_allclose(model_flops(together), [model_flops(model) for model in alone])


def test_lengths_and_layers_keep_their_own_axes() -> None:
    spec = read_model("llama-3-8b").model_copy(update={"layers": np.array([[16], [32]])})
    assert isinstance(spec, Decoder)
    model = spec.model(np.array([2048.0, 4096.0, 8192.0]))
    assert model.parameters.shape == (2, 1)
    assert model_flops(model).shape == (2, 3)


def test_the_feed_forward_rule_is_listed() -> None:
    gated, plain = read_model(SMALL), read_model({**SMALL, "gated": False})
    assert isinstance(gated, Decoder)
    assert isinstance(plain, Decoder)
    assert (gated.ffn_width, plain.ffn_width) == (1536, 2048)
    assert [one.name for one in gated.assumptions()] == ["model.ffn_hidden"]
    assert read_model({**SMALL, "ffn_hidden": 1000}).assumptions(TEXT) == ()
    llama = read_model("llama-7b")
    assert llama.model_copy(update={"ffn_hidden": None}).ffn_width == 11008  # the rule gives Llama's own width


def test_experts_and_dense_layers_are_counted_apart() -> None:
    experts = {"count": 8, "top_k": 2, "width": 1000, "first_dense": 1, "every": 2}
    spec = read_model({**SMALL, "layers": 5, "ffn_hidden": 2000, "experts": experts})
    assert isinstance(spec, Decoder)
    stacks = {stack.name: stack for stack in spec.model(128).stacks}
    assert {name: stack.layers for name, stack in stacks.items()} == {"layers": 3, "layers with experts": 2}
    routed = [linear for linear in stacks["layers with experts"].block.linears if linear.experts != 1]
    assert [(linear.experts, linear.active, linear.outputs) for linear in routed] == [
        (8, 2, 2000),
        (8, 2, 512),
    ]


def test_windows_cap_what_a_query_sees() -> None:
    everything = read_model({**SMALL}).build(Data(seq_len=8192))
    windowed = read_model({**SMALL, "window": 1024}).build(Data(seq_len=8192))
    alternating = read_model({**SMALL, "window": 1024, "global_every": 2}).build(Data(seq_len=8192))
    assert [stack.layers for stack in alternating.stacks] == [2, 2]
    counts = [model_flops(model) for model in (windowed, alternating, everything)]
    assert counts == sorted(counts)
    assert windowed.parameters == everything.parameters
    longer = read_model({**SMALL, "window": 9000}).build(Data(seq_len=8192))
    assert model_flops(longer) == pytest.approx(model_flops(everything))


def test_splits_follow_megatron() -> None:
    """Shoeybi et al. 2019: qkv and up by column, output and down by row, so that a layer needs two
    reductions."""
    (stack,) = read_model("llama-3-8b").build(TEXT).stacks
    splits = {linear.name: linear.split for linear in stack.block.linears}
    assert splits == {
        "qkv": Split.COLUMN,
        "attention output": Split.ROW,
        "gate and up": Split.COLUMN,
        "down": Split.ROW,
    }
    assert stack.block.all_reduces == 2
    assert read_model("gpt-j-6b").build(TEXT).stacks[0].block.all_reduces == 1
    kinds = [operator.kind for operator in stack.block.elementwise]
    assert kinds.count(Pointwise.RMS_NORM) == kinds.count(Pointwise.RESIDUAL) == 2


def test_adapters_are_all_that_lora_trains() -> None:
    """Hu et al. 2021, section 5.5: GPT-3 175B with rank 8 on one projection or 4 on two trains 18.9 M
    parameters."""
    gpt3 = {"name": "gpt-3-175b", "trainable": "lora"}
    for rank, targets in ((4, ["q", "v"]), (8, ["q"])):
        model = read_model({**gpt3, "rank": rank, "targets": targets}).build(TEXT)
        assert model.trainable_parameters == pytest.approx(18.9e6, rel=0.002)
    with pytest.raises(EstimateError, match="no projection 'query'"):
        read_model({**gpt3, "targets": ["query"]}).build(TEXT)


WRONG = [
    ({**SMALL, "hidden": 100, "heads": 3}, "is not divisible by 3 heads", "model"),
    ({**SMALL, "kv_heads": 3}, "cannot share 3", "model"),
    ({**SMALL, "layers": 0}, "at least 1", "model.layers"),
    ({**SMALL, "layers": 2.5}, "whole number", "model.layers"),
    ({**SMALL, "vocab": "three"}, "not a quantity", "model.vocab"),
    ({**SMALL, "experts": {"count": 4, "top_k": 8}}, "top_k = 8 of only 4", "model.experts"),
    ({**SMALL, "experts": {"count": 4, "top_k": 2, "first_dense": 9}}, "leaves no layer", "model"),
    ({"hidden": 512, "heads": 8, "vocab": 100}, "Field required", "model.layers"),
    ({**SMALL, "depth": 3}, "Extra inputs", "model.depth"),
    ({"name": "llama-3-8b", "layer": 3}, "Extra inputs", "model.layer"),
    ({"params": "30 GB"}, "expected parameter", "model.params"),
    (3, "must be a model's name", "model"),
    ({"kind": "recurrent", **SMALL}, "'recurrent' is not a kind of model; known kinds: decoder", "model"),
]


@pytest.mark.parametrize(("block", "message", "where"), WRONG, ids=[row[1] for row in WRONG])
def test_bad_shapes_say_what_and_where(block: object, message: str, where: str) -> None:
    with pytest.raises(EstimateError, match=message) as caught:
        read_model(block)
    assert caught.value.where == where


def test_fields_over_a_named_model() -> None:
    short = read_model({"name": "llama-3-8b", "layers": 16})
    whole = read_model("llama-3-8b")
    assert short.layers == 16  # type: ignore[attr-defined]
    assert short.build(TEXT).parameters < whole.build(TEXT).parameters


def test_a_length_is_needed() -> None:
    with pytest.raises(EstimateError, match="tokens per sample is missing"):
        read_model("llama-3-8b").build(Data())


def test_a_masked_model_may_compute_its_head_of_the_hidden_words_alone() -> None:
    """Saves 3 x 2 x 512 x (0.15 x [h h + h V]) FLOPs of the head and does not change those of the layers."""
    bert = SMALL | {"head": "masked", "causal": False, "norm": "layer", "gated": False}
    whole, gathered, none = (
        Decoder(**(bert | said)).build(Data(seq_len=512))  # type: ignore[arg-type]
        for said in ({}, {"head_share": 0.15}, {"head_share": 0.0})
    )
    assert whole.parameters == gathered.parameters
    every, some, rest = (float(model_flops(model, 1)) for model in (whole, gathered, none))
    assert some - rest == pytest.approx(0.15 * (every - rest))
    assert every - rest == pytest.approx(6 * 512 * (512 * 512 + 512 * 32000), rel=0.01)
