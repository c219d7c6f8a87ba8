"""Points at which samples are drawn."""

import numpy as np

from gpuhours.run.points import DRAWS, lattice, shuffled


def test_the_order_has_every_draw_once_and_tells_nothing_of_the_lattice() -> None:
    order = shuffled()
    assert sorted(order) == list(range(DRAWS))
    for coordinate in lattice(9):
        assert abs(np.corrcoef(coordinate[order], coordinate)[0, 1]) < 3 / np.sqrt(DRAWS)
        assert abs(np.corrcoef(order, coordinate)[0, 1]) < 3 / np.sqrt(DRAWS)
