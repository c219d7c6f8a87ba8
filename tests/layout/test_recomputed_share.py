"""Share of layers that full recomputation covers, by hand."""

import pytest

from gpuhours.layout.layout import Layout
from gpuhours.layout.recompute import covered


@pytest.mark.parametrize(
    ("each", "pipeline", "layers", "share"), [(2, 4, 32, 0.25), (1, 1, 32, 1 / 32), (8, 8, 32, 1.0), (None, 4, 32, 1.0)]
)
def test_recompute_layers_are_of_every_stage(each: int | None, pipeline: int, layers: int, share: float) -> None:
    """``recompute_layers`` on each of p stages of L layers in all: r p / L, at most all."""
    layout = Layout(recompute="full", recompute_layers=each)  # type: ignore[arg-type]
    assert covered(layout, pipeline, layers) == pytest.approx(share)
