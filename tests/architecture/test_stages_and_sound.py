"""Encoders that shorten their input on the way, and layers that share weights, against the figures of their papers."""

import numpy as np
import pytest

from gpuhours.architecture.model_spec import read_model
from gpuhours.architecture.operators import Ends, Model
from gpuhours.data import Data
from gpuhours.inputs.errors import EstimateError

SWIN = {
    "kind": "staged-vision",
    "width": 96,
    "stage_layers": [2, 2, 6, 2],
    "stage_heads": [3, 6, 12, 24],
    "classes": 1000,
}
SOUND = {"kind": "sound", "layers": 12, "hidden": 768, "heads": 12, "ffn_hidden": 3072}
ALBERT = {
    "kind": "shared-layers", "layers": 12, "hidden": 768, "heads": 12, "ffn_hidden": 3072, "vocab": 30000, "gated": False, "norm": "layer",
    "attention_bias": "all", "mlp_bias": True, "embedding_width": 128, "head": "none", "positions": "learned", "max_positions": 512,
    "segments": 2, "embedding_norm": True, "final_norm": False, "causal": False, "pooler": True,
}  # fmt: skip


def forward(model: Model) -> float:
    """Return forward FLOPs of one sample."""
    total = 0.0
    for part in model.parts:
        linears = part.linears if isinstance(part, Ends) else part.block.linears
        gemms = sum(float(one.flops_per_token) for one in linears) * float(part.tokens)
        layers = 1.0 if isinstance(part, Ends) else float(part.layers)
        total += layers * gemms
        if not isinstance(part, Ends):
            length = part.tokens if part.sequence is None else part.sequence
            cores = sum(float(core.flops(length, full=True)) for core in part.block.attention)
            total += layers * cores * float(np.divide(part.tokens, length))
    return total


@pytest.mark.parametrize(
    ("shape", "size", "parameters", "giga"),
    [({}, 224, 28.3e6, 4.5), ({"width": 128, "stage_layers": [2, 2, 18, 2], "stage_heads": [4, 8, 16, 32]}, 224, 87.8e6, 15.4),
     ({"stage_layers": [2, 2, 18, 2]}, 224, 49.6e6, 8.7),
     ({"width": 128, "stage_layers": [2, 2, 18, 2], "stage_heads": [4, 8, 16, 32], "window": 12, "image_size": 384}, 384, 87.9e6, 47.0)],
)  # fmt: skip
def test_swin_as_its_paper_counts(shape: dict[str, object], size: int, parameters: float, giga: float) -> None:
    """Liu et al. 2021, arXiv:2103.14030, table 1 (its FLOPs are multiply-adds)."""
    model = read_model({**SWIN, **shape}).build(Data(resolution=size, frames=1))
    assert float(model.parameters) == pytest.approx(parameters, rel=4e-3)
    assert forward(model) / 2e9 == pytest.approx(giga, rel=0.015)


def test_a_grid_that_windows_do_not_divide_is_padded_to_whole_windows() -> None:
    """Images of 256: 64 x 64 patches in 10 x 10 windows of 49; 32 x 32 in 5 x 5, 16 x 16 in 3 x 3, 8 x 8 in 2 x 2."""
    model = read_model(SWIN).build(Data(resolution=256, frames=1))
    assert [float(one.tokens) for one in model.stacks if one.sequence is not None] == [4900, 1225, 441, 196]
    assert [float(one.tokens) for one in model.stacks if one.sequence is None] == [1024, 256, 64]


def test_sound_is_shortened_by_320() -> None:
    """10 s of 16 kHz in 500 steps: the first convolution leaves 32,000 steps, each later one half of them; 95 M parameters (table 1 of
    arXiv:2006.11477 without its quantiser)."""
    model = read_model({**SOUND, "extra_weights": 768}).build(Data(seq_len=500))
    assert [float(one.tokens) for one in model.stacks[:7]] == [32000, 16000, 8000, 4000, 2000, 1000, 500]
    assert float(model.parameters) == 94_371_712
    deaf = read_model(SOUND)
    with pytest.raises(EstimateError, match="length of a sample is missing"):
        deaf.build(Data())


def test_a_step_that_skips_layers_keeps_their_weights() -> None:
    whole, skipping = (read_model({**SOUND, "layer_skip": share}).build(Data(seq_len=500)) for share in (0.0, 0.25))
    assert float(skipping.parameters) == pytest.approx(float(whole.parameters))
    assert float(skipping.stacks[-1].layers) == 9


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [({}, 12e6), ({"layers": 24, "hidden": 1024, "heads": 16, "ffn_hidden": 4096}, 18e6),
     ({"layers": 24, "hidden": 2048, "heads": 16, "ffn_hidden": 8192}, 60e6),
     ({"hidden": 4096, "heads": 64, "ffn_hidden": 16384}, 235e6)],
)  # fmt: skip
def test_albert_stores_one_layer_and_runs_all(shape: dict[str, object], parameters: float) -> None:
    """Lan et al. 2019, arXiv:1909.11942, table 1, whose figures are rounded (its largest counts 235 M, the library 223 M)."""
    model = read_model({**ALBERT, **shape}).build(Data(seq_len=512))
    assert float(model.parameters) == pytest.approx(parameters, rel=0.06)
    apart = read_model({**ALBERT, **shape, "weight_sets": shape.get("layers", 12)}).build(Data(seq_len=512))
    assert forward(model) == forward(apart)
    assert float(apart.parameters) > 5 * float(model.parameters)


@pytest.mark.parametrize(
    ("shape", "said"),
    [({**SWIN, "stage_heads": [3, 6, 12]}, "4 stages of layers, 3 of heads"), ({**SWIN, "width": 100}, "not divisible by 3 heads"),
     ({**SOUND, "kernels": [10, 3]}, "the same convolutions"), ({**SOUND, "position_groups": 7}, "not divisible by 7")],
)  # fmt: skip
def test_a_shape_that_does_not_fit_is_refused(shape: dict[str, object], said: str) -> None:
    with pytest.raises(EstimateError, match=said):
        read_model(shape)
