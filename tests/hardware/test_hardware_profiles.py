"""User-defined profiles, the errors of bad ones, and the commands that show them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gpuhours.cost.prices import choose_price
from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.hardware.clusters import cluster
from gpuhours.hardware.nodes import find_instance
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.listing.hardware import sheet
from gpuhours_cli.app import main

OWN = """\
title: Example X1
vendor: Example
generation: hopper
node: {node}
peak:
  bf16: {{value: 500 TFLOP/s, source: an invented figure}}
memory: {{value: 64 GiB, source: an invented figure}}
memory_bandwidth: {{value: 2 TB/s, source: an invented figure}}
link_bandwidth: {{value: 200 GB/s, source: an invented figure}}
pcie_bandwidth: {{value: 63 GB/s, source: an invented figure}}
power: {{value: 500 W, source: an invented figure}}
"""
OWN_NODE = """\
title: Example node of 4
gpus: {value: 4, source: an invented figure}
link_bandwidth: {value: 200 GB/s, source: an invented figure}
nics: {value: 2, source: an invented figure}
nic_bandwidth: {value: 100 Gbit/s, source: an invented figure}
pcie_bandwidth: {value: 63 GB/s, source: an invented figure}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of profiles laid out as ours is."""
    for kind in ("accelerators", "nodes", "prices"):
        (tmp_path / kind).mkdir()
    (tmp_path / "accelerators" / "x1.yaml").write_text(OWN.format(node="x1-node"))
    (tmp_path / "nodes" / "x1-node.yaml").write_text(OWN_NODE)
    (tmp_path / "prices" / "x1.yaml").write_text(
        "- {price: 1 USD/GPU-hour, provider: us, terms: on-demand, as_of: 2026-01-15, source: invented}\n"
    )
    monkeypatch.setenv("GPUHOURS_PROFILES", str(tmp_path))
    return tmp_path


def test_a_folder_of_ones_own(folder: Path) -> None:
    found = cluster("x1", gpus=16)
    assert found.accelerator.title == "Example X1"
    assert (found.node.name, found.network_bandwidth, found.nodes) == ("x1-node", 6.25e9, 4)
    assert "x1" in list_accelerators()
    assert "h100-sxm-80gb" in list_accelerators()
    assert found.accelerator.l2 is None
    assert choose_price("x1").to_dict()["value"] == pytest.approx(1.0)  # type: ignore[union-attr]


def test_ones_own_profile_that_is_no_text(folder: Path) -> None:
    """Names are searched among the aliases of every node, so an unreadable profile is reported with its path."""
    (folder / "nodes" / "x2-node.yaml").write_bytes(b"title: \xb2\n")
    with pytest.raises(EstimateError, match="is not a text file") as error:
        find_instance("p5.48xlarge")
    assert "x2-node.yaml" in error.value.where


def test_ones_own_profile_replaces_ours(folder: Path) -> None:
    (folder / "accelerators" / "h100-sxm-80gb.yaml").write_text(OWN.format(node="dgx-h100"))
    assert load_accelerator("h100-sxm-80gb").power == 500


def test_a_path_is_read_and_its_node_looked_for_beside_it(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(OWN.format(node="box.yaml"))
    (tmp_path / "box.yaml").write_text(OWN_NODE)
    found = cluster(str(tmp_path / "card.yaml"))
    assert (found.accelerator.name, found.node.gpus) == ("card", 4)
    assert sheet(str(tmp_path / "box.yaml")).hardware.title == "Example node of 4"


def test_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GPUHOURS_PROFILES", str(tmp_path / "nowhere"))
    with pytest.raises(EstimateError, match="is not a folder"):
        list_accelerators()
    monkeypatch.setenv("GPUHOURS_PROFILES", str(tmp_path))
    with pytest.raises(EstimateError, match="contains none of accelerators/"):
        list_accelerators()


# Text in the file, its replacement, and the message: place, key, what is wrong.
BAD = [
    ("2 TB/s", "2 TB", r"card.yaml:8:27  memory_bandwidth.value = '2 TB'", "is in TB; expected byte/s"),
    ("500 TFLOP/s", "500 TFLOPs", r"card.yaml:6:17  peak.bf16.value", "expected FLOP/s"),
    ("500 TFLOP/s", "-5 TFLOP/s", r"card.yaml:6:17  peak.bf16.value = '-5 TFLOP/s'", "greater than 0"),
    ("bf16:", "bf17:", r"card.yaml:6:", "'bf16'"),
    ("memory:", "memroy:", "memroy", "Did you mean 'memory'?"),
    (", source: an invented figure}\nmemory_b", "}\nmemory_b", r"card.yaml:7:9  memory.source", "missing"),
    ("vendor: Example\n", "", "vendor", "missing"),
    ("64 GiB", "64 bananas", r"card.yaml:7:17  memory.value = '64 bananas'", "'bananas' is not a unit"),
    ("64 GiB", "9**9**9", r"card.yaml:7:17  memory.value = '9**9**9'", "is not a quantity"),
    ("title: Example X1", "title: [", "card.yaml", "is not YAML"),
]


@pytest.mark.parametrize(("old", "new", "where", "what"), BAD, ids=[row[1][:12] for row in BAD])
def test_a_bad_profile_says_where(tmp_path: Path, old: str, new: str, where: str, what: str) -> None:
    text = OWN.format(node="dgx-h100")
    assert old in text
    path = tmp_path / "card.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(EstimateError) as raised:
        load_accelerator(str(path))
    assert where in raised.value.where
    assert what in str(raised.value)


class Answer(NamedTuple):
    """What a command wrote, and its exit code."""

    code: object
    out: str
    err: str


@pytest.fixture
def gpuhours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run one command in this process."""

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["gpuhours", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        written = capsys.readouterr()
        return Answer(left.value.code, written.out, written.err)

    return run


def test_hardware_list(gpuhours: Callable[..., Answer]) -> None:
    shown = gpuhours("hardware", "list")
    assert shown.code == 0
    assert "h100-sxm-80gb" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    names = json.loads(gpuhours("hardware", "list", "--json").out)
    assert [row["name"] for row in names["accelerators"]] == list_accelerators()


def test_hardware_show(gpuhours: Callable[..., Answer]) -> None:
    shown = gpuhours("hardware", "show", "H100_SXM_80GB")
    assert shown.code == 0
    assert "989.4 TFLOP/s" in shown.out
    assert "dense; the headline 1,979" in shown.out
    data = json.loads(gpuhours("hardware", "show", "h100-sxm-80gb", "--json").out)
    assert data["figures"]["memory_bandwidth"]["value"] == 3.35e12
    assert data["figures"]["memory_bandwidth"]["unit"] == "byte/second"
    assert data["price"]["as_of"] >= "2026"
    assert gpuhours("hardware", "show", "gb200-nvl72", "-q").out.startswith("gpus: 4\nlink_domain: 72\n")


def test_hardware_show_of_what_is_not_there(gpuhours: Callable[..., Answer]) -> None:
    shown = gpuhours("hardware", "show", "h100_smx")
    assert shown.code == 2
    assert shown.out == ""
    assert shown.err.startswith("error: hardware = 'h100_smx'\n  No such profile.\n  Did you mean 'h100-sxm-80gb'?")
