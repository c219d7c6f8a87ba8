"""Errors of predicted kernel and collective times against measurements, by kind, card and band of shapes.

    python -m tests.benchmarks.kernels [--tables FOLDER]

Our own H200 measurements (``tests/measurements``) are always used. ``FOLDER`` may hold tables for other
cards under the names of ``TABLES``; missing tables are skipped. A bare clone needs
PYTHONPATH=cli:estimator:.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.clusters import cluster
from gpuhours.kernels.attention import attention_time
from gpuhours.kernels.collectives import (
    Group,
    all_gather_time,
    all_reduce_time,
    all_to_all_time,
    point_to_point_time,
    reduce_scatter_time,
)
from gpuhours.kernels.gemm import gemm_time, thin_experts
from gpuhours.kernels.memory_bound import memory_time

OWN = Path(__file__).parents[1] / "measurements"
H200, H100, A100 = "h200-sxm-141gb", "h100-sxm-80gb", "a100-sxm-80gb"
COLLECTIVES: dict[str, Callable[..., Any]] = {
    "all_gather": all_gather_time,
    "all_reduce": all_reduce_time,
    "reduce_scatter": reduce_scatter_time,
    "all_to_all": all_to_all_time,
    "alltoall": all_to_all_time,
    "p2p_oneway": point_to_point_time,
}
HOST_BOUND = {"forward": 60e-6, "backward": 150e-6, "collective": 25e-6}
"""Seconds; calls were timed one by one from the host, so shorter calls measure the host and not the kernel."""

EQUIVALENT_BYTES = {
    ("residual_add", "fwd"): 6.1, ("gelu", "fwd"): 5.5, ("gelu", "bwd"): 7.4, ("dropout", "fwd"): 7.3,
    ("dropout", "bwd"): 5.0, ("silu_mul(eager 2 kernels)", "fwd"): 10.8, ("silu_mul(eager)", "bwd"): 18.1,
    ("rmsnorm", "fwd"): 5.8, ("rmsnorm", "bwd"): 14.7, ("layernorm", "fwd"): 7.3, ("layernorm", "bwd"): 16.5,
    ("rope(eager)", "fwd"): 60.0, ("cross_entropy(float logits;eager)", "fwd"): 28.0,
    ("cross_entropy(float logits;eager)", "bwd"): 27.0, ("copy_d2d", "-"): 8.0,
}  # fmt: skip
"""(operator, direction) -> bytes per element at copy speed: own measurements on H200, PyTorch 2.11, bf16."""


@dataclass(frozen=True)
class Row:
    """Predictions and measurements of one kind, and the bands of shapes (name -> mask)."""

    title: str
    predicted: Any
    measured: Any
    bands: dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """Return the columns of a CSV file, as floats if every cell is a number."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: _column([row[name] for row in rows]) for name in rows[0]}


def _column(cells: list[str]) -> Any:
    try:
        return np.array([float(cell) for cell in cells])
    except ValueError:
        return np.array(cells)


def own_gemms() -> Iterator[Row]:
    """Yield GEMMs on H200: every pass and layout, other dtypes, batched and grouped."""
    t = read(OWN / "h200_gemm.csv")
    card, measured = load_accelerator(H200), t["time_us"] * 1e-6
    for kind, dtype in zip(("single",) * 4 + ("bmm",), ("bf16", "fp16", "fp8", "tf32", "bf16"), strict=True):
        rows = (t["kind"] == kind) & (t["dtype"] == dtype)
        m, n, k, count = (t[name][rows] for name in ("m", "n", "k", "count"))
        p = gemm_time(m, n, k, card, dtype, count=count, weight_gradient=t["pass"][rows] == "wgrad")
        yield Row(f"H200 GEMM {dtype} {kind}", p, measured[rows], gemm_bands(m, n, k))
    yield three_passes(t)
    rows = t["kind"] == "grouped"
    m, n, k = (t[name][rows] for name in ("m", "n", "k"))
    p = gemm_time(m, n, k, card, count=t["count"][rows]) * thin_experts(m, t["count"][rows])
    yield Row("H200 GEMM bf16 grouped", p, measured[rows], {"all": m > 0})


def three_passes(t: dict[str, Any]) -> Row:
    """Yield the forward GEMM of a weight together with the GEMMs of both gradients, as in a training step."""
    card = load_accelerator(H200)
    rows = (t["kind"] == "single") & (t["dtype"] == "bf16")
    columns = zip(t["pass"][rows], t["m"][rows], t["n"][rows], t["k"][rows], t["time_us"][rows], strict=True)
    time = {(which, m, n, k): us * 1e-6 for which, m, n, k, us in columns}
    whole = [
        (m, n, k)
        for which, m, n, k in time
        if which == "fwd" and ("dgrad", m, k, n) in time and ("wgrad", n, k, m) in time
    ]
    m, n, k = np.array(whole).T
    p = gemm_time(m, n, k, card) + gemm_time(m, k, n, card) + gemm_time(n, k, m, card, weight_gradient=True)
    measured = [time["fwd", a, b, c] + time["dgrad", a, c, b] + time["wgrad", b, c, a] for a, b, c in whole]
    return Row("H200 weight, three passes", p, np.array(measured), gemm_bands(m, n, k))


def own_attention() -> Iterator[Row]:
    """cuDNN and FlashAttention-2 on H200, both directions."""
    t = read(OWN / "h200_attention.csv")
    card = load_accelerator(H200)
    for kernel in ("cudnn", "flash2"):
        for direction in ("forward", "backward"):
            predicted = np.empty(len(t["batch"]))
            for causal in (False, True):
                rows = t["causal"] == causal
                shape = {name: t[name][rows] for name in ("batch", "heads", "kv_heads", "length", "head_dim")}
                predicted[rows] = attention_time(kernel, direction, card, causal=causal, **shape)
            measured = t[f"{direction}_us"] * 1e-6
            rows = (t["kernel"] == kernel) & (measured > HOST_BOUND[direction])
            length = t["length"][rows]
            short, long = length <= 512, length > 8192
            bands = {"all": length > 0, "<= 512": short, "513 to 8192": ~short & ~long, "> 8192": long}
            yield Row(f"H200 attention {kernel} {direction}", predicted[rows], measured[rows], bands)


def own_memory_bound() -> Iterator[Row]:
    """Yield eager operators on H200, each with its measured equivalent bytes per element."""
    t = read(OWN / "h200_memory_bound.csv")
    card, elements = load_accelerator(H200), t["rows"] * t["cols"]
    for (op, direction), per_element in EQUIVALENT_BYTES.items():
        rows = (t["op"] == op) & (t["pass"] == direction) & (t["min_bytes"] > 64e6)
        rows = rows & (t["time_us"] * 1e-6 > HOST_BOUND["backward" if direction == "bwd" else "collective"])
        p = memory_time(per_element * elements[rows], card)
        yield Row(f"H200 memory-bound {op} {direction}", p, t["time_us"][rows] * 1e-6, {"> 64 MB": p > 0})


def own_collectives() -> Iterator[Row]:
    """Yield collectives on 2 and 4 H200 in one node, from eager calls that are not host-bound."""
    t = read(OWN / "h200_nccl.csv")
    yield from collectives("H200", H200, t["op"], t["gpus"], t["bytes"], t["time_us"] * 1e-6)


def collectives(title: str, card: str, op: Any, gpus: Any, size: Any, measured: Any) -> Iterator[Row]:
    """Yield each collective, for sizes of at least 1 MiB."""
    here = cluster(card, gpus=8)
    for name, time in COLLECTIVES.items():
        rows = (op == name) & (size >= 2**20) & ((title != "H200") | (measured > HOST_BOUND["collective"]))
        if rows.any():
            p, bytes_ = time(size[rows], Group(gpus[rows]), here), size[rows]
            bands = {">= 1 MiB": bytes_ > 0, ">= 16 MiB": bytes_ >= 2**24}
            yield Row(f"{title} {name}", p, measured[rows], bands)


def gemm_bands(m: Any, n: Any, k: Any) -> dict[str, Any]:
    """Return two bands: all shapes, and shapes with every side at least 1024."""
    smallest = np.minimum(np.minimum(m, n), k)
    return {"all": smallest > 0, "m,n,k >= 1024": smallest >= 1024}


def gemms(path: Path, card: str) -> Iterator[Row]:
    """Read a table of GEMMs with the columns dtype, m, n, k, time_ms; only bf16 is used."""
    t = read(path)
    rows = t["dtype"] == "bfloat16"
    m, n, k = (t[name][rows] for name in ("m", "n", "k"))
    p = gemm_time(m, n, k, load_accelerator(card))
    yield Row(f"{card} GEMM bf16", p, t["time_ms"][rows] * 1e-3, gemm_bands(m, n, k))


def serving_attention(path: Path, card: str, kernel: str, cache: dict[int, float]) -> Iterator[Row]:
    """Read a table of causal forward attention that also copies keys and values into a cache.

    ``cache``  head size -> passes over 4 b s kv d bytes
    """
    t = read(path)
    part = load_accelerator(card)
    b, s, h, kv, d = (t[name] for name in ("batch", "seq_len", "heads", "kv_heads", "head_dim"))
    for size, passes in cache.items():
        rows = (d == size) & (t["time_ms"] > 0.1) & (s >= 1024)
        p = attention_time(
            kernel, "forward", part, causal=True,
            batch=b[rows], heads=h[rows], kv_heads=kv[rows], length=s[rows], head_dim=d[rows],
        )  # fmt: skip
        p = p + passes * 4 * (b * s * kv * d)[rows] / part.memory_bandwidth
        title = f"{card} attention {kernel} forward d={size}"
        yield Row(title, p, t["time_ms"][rows] * 1e-3, {"s >= 1024": p > 0})


def in_node(path: Path) -> Iterator[Row]:
    """Read a table of collectives with the columns device, collective, num_gpus, elements (2 bytes), time_ms."""
    t = read(path)
    for title, card in (("A100", A100), ("H100", H100)):
        rows = np.char.find(t["device"].astype(str), title) >= 0
        columns = ("collective", "num_gpus", "elements", "time_ms")
        op, gpus, elements, ms = (t[name][rows] for name in columns)
        yield from collectives(title, card, op, gpus, 2 * elements, ms * 1e-3)


TABLES: dict[str, Callable[[Path], Iterator[Row]]] = {
    "gemm_a100_sxm4_80gb.csv": lambda path: gemms(path, A100),
    "gemm_h100_sxm5.csv": lambda path: gemms(path, H100),
    "attention_forward_a100.csv": lambda path: serving_attention(path, A100, "flash2", {128: 3.05}),
    "attention_forward_h100.csv": lambda path: serving_attention(path, H100, "flash3", {64: 6.4, 128: 3.3, 256: 8.9}),
    "nccl_in_node_a100_h100.csv": in_node,
}


def judged(folder: Path | None) -> Iterator[Row]:
    """Yield every comparison for which data are available."""
    for own in (own_gemms, own_attention, own_memory_bound, own_collectives):
        yield from own()
    for name, table in TABLES.items() if folder else ():
        path = (folder or Path()) / name
        if path.is_file():
            yield from table(path)


def main() -> None:
    """Print mean, median and 90th percentile of |predicted / measured - 1|, and the signed median."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--tables", type=Path, default=os.environ.get("GPUHOURS_TABLES"))
    folder = parser.parse_args().tables
    print(f"{'kind':48} {'band':14} {'count':>6} {'mean':>6} {'median':>6} {'p90':>6} {'bias':>6}   %")
    for row in judged(Path(folder) if folder else None):
        error = (np.asarray(row.predicted) / row.measured - 1) * 100
        for band, rows in row.bands.items():
            if rows.any():
                e = np.abs(error[rows])
                figures = f"{e.mean():6.1f} {np.median(e):6.1f} {np.quantile(e, 0.9):6.1f}"
                print(f"{row.title:48} {band:14} {len(e):6d} {figures} {np.median(error[rows]):+6.1f}")


if __name__ == "__main__":
    main()
