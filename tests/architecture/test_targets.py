"""Projections that get adapters, as people write them."""

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.run.spec import from_dict

SHAPE = {"layers": 2, "hidden": 64, "heads": 4, "ffn_hidden": 128, "vocab": 100, "trainable": "lora", "rank": 8}


def trained(targets: object) -> int:
    model = from_dict({"model": {**SHAPE, "targets": targets}}, "here").model
    assert model is not None
    return int(model.build(from_dict({"data": {"seq_len": 32}}, "here").data).trainable_parameters)


def test_a_projection_named_twice_gets_one_adapter() -> None:
    """2 layers x rank 8 x (64 inputs + 64 outputs)."""
    assert trained("q_proj,q") == trained(["q", "q"]) == trained("q") == 2 * 8 * (64 + 64)


@pytest.mark.parametrize("targets", [None, 5, {"q": 1}])
def test_what_is_no_list_of_projections_is_refused(targets: object) -> None:
    with pytest.raises(EstimateError, match="list or a text of projections"):
        trained(targets)
