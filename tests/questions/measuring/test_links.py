"""Links between GPUs: their rate from our own collective times, recovery of known factors, and the use of each rank's times."""

from __future__ import annotations

import pytest

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.nodes import load_node
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.measuring.collectives import CollectiveTime, collective_times, group_sizes, slowest
from gpuhours.questions.measuring.links import TIMES, link_levels, predicted_times, with_links
from tests.benchmarks.kernels import OWN, read

H200 = load_accelerator("h200-sxm-141gb")
NODE = load_node(H200.node)
SIZES = tuple(2**power for power in range(22, 31, 2))


def on_links(share: float, ranks: tuple[int, ...]) -> list[CollectiveTime]:
    """Return every collective on a card whose links reach the given share of the profile's rate."""
    links = H200.link_constants
    fields = ("ring_share", "exchange_share", "switch_share")
    other = links.model_copy(update={name: share * (getattr(links, name) or 0.0) for name in fields})
    asked = [CollectiveTime(name, n, size, 1.0) for name in TIMES for n in ranks for size in SIZES]
    found = predicted_times(asked, with_links(H200, other), NODE)
    return [CollectiveTime(one.operation, one.ranks, one.bytes, float(t)) for one, t in zip(asked, found, strict=True)]


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5])
def test_the_level_of_the_links_is_found_again_and_improves_the_profile(share: float) -> None:
    links, levels = link_levels(on_links(share, (2, 4)), H200, NODE, "a test of links")
    assert [level.kernel for level in levels] == ["collectives, rings", "collectives, exchanges"]
    for level in levels:
        assert level.factor == pytest.approx(share, rel=0.01)
        assert level.error < 0.01
        assert level.before > 0.1 or share == 1.0
    assert links.ring_share == pytest.approx(share * H200.link_constants.ring_share, rel=0.01)
    assert links.exchange_share == pytest.approx(share * H200.link_constants.exchange_share, rel=0.01)


def test_eight_ranks_settle_the_switch_too() -> None:
    _, levels = link_levels(on_links(0.8, (2, 8)), H200, NODE, "a test of links")
    assert [level.kernel for level in levels] == [
        "collectives, rings", "collectives, exchanges", "collectives, in the switch",
    ]  # fmt: skip


def test_our_own_times_ask_for_the_profiles_level() -> None:
    """2 and 4 H200, eager (tests/measurements/h200_nccl.csv): the shipped constants are within 6 %."""
    t = read(OWN / "h200_nccl.csv")
    columns = zip(*(t[name] for name in ("op", "gpus", "bytes", "mode", "time_us")), strict=True)
    times = [
        CollectiveTime(str(op), int(gpus), int(size), 1e-6 * float(us))
        for op, gpus, size, mode, us in columns if str(op) in TIMES and str(mode) == "eager"
    ]  # fmt: skip
    assert len(times) > 100
    _, levels = link_levels(times, H200, NODE, "a test of links")
    rings = levels[0]
    assert rings.factor == pytest.approx(1.0, abs=0.06)
    assert rings.error <= rings.before < 0.1


def test_a_time_is_that_of_the_slowest_rank() -> None:
    ranks = [[CollectiveTime("all_reduce", 2, 1024, 1.0)], [CollectiveTime("all_reduce", 2, 1024, 3.0)]]
    assert slowest(ranks) == (CollectiveTime("all_reduce", 2, 1024, 3.0),)


@pytest.mark.parametrize(("ranks", "sizes"), [(1, ()), (2, (2,)), (3, (2, 3)), (8, (2, 4, 8))])
def test_groups_of_a_node(ranks: int, sizes: tuple[int, ...]) -> None:
    assert group_sizes(ranks) == sizes


def test_more_than_a_node_is_refused() -> None:
    with pytest.raises(EstimateError, match="more than one node"):
        collective_times(None, 16)


def test_processes_on_processors_time_their_collectives() -> None:
    """On CPUs with gloo, if PyTorch is installed."""
    torch = pytest.importorskip("torch")
    found = collective_times(torch, 2, "gloo", (2**14, 2**16))
    assert {one.operation for one in found} == {"all_reduce", "all_gather"}
    assert all(one.ranks == 2 and one.seconds > 0 for one in found)
