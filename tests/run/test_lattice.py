"""The points of a sample, and the order that knows nothing of them."""

from __future__ import annotations

import numpy as np

from gpuhours.run.lattice import DRAWS, SHUFFLED


def test_the_written_order_is_the_generators() -> None:
    assert SHUFFLED.tolist() == np.random.default_rng(0).permutation(DRAWS).tolist()
