"""The measured constants of kernels and links: an accelerator's own, and the defaults of its generation.

A measured profile has a ``kernels:`` block; groups missing from it are taken from
``hardware_specs/kernels/GENERATION.yaml``. Every group names its source.
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.units import Bandwidth, Seconds
from gpuhours.inputs.yaml_files import Section, Sourced, read_yaml, validated

Share = Annotated[float, Field(gt=0, le=1.3)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class GemmConstants(Sourced):
    """Constants of ``kernels.gemm_time``."""

    tile_efficiency: Share
    """E: share of peak inside a full 128 x 256 tile."""
    reuse_exponent: NotNegative
    """g: exponent with which a tile's rate depends on its operand reuse."""
    prologue: NotNegative
    """k0: prologue and epilogue of a tile, as additional length along k (bf16)."""
    ceiling: Share
    """rho: share of peak that the whole card sustains (limited by power and instruction issue)."""
    memory_share: Share
    """beta: share of the memory bandwidth at which operands are read."""
    launch: Seconds
    """t0: fixed time per kernel."""
    whole_waves: bool
    """Tiles run in whole waves over the SMs (True), or the last wave is split evenly (False)."""
    four_bit: Share = 1.0
    """Share of E and rho that GEMMs with 4-bit operands reach."""


class MemoryConstants(Sourced):
    """Constants of ``kernels.memory_time``."""

    copy_share: Share
    """eta: share of the data-sheet bandwidth that a large copy reaches."""
    launch: Seconds


class AttentionPass(Sourced):
    """Constants of one direction of a fused attention kernel (``attention.fused_attention_time``)."""

    efficiency: dict[int, Share]
    """Padded head size -> E, share of peak, counting the padded size."""
    overhead_keys: NotNegative
    """s0: work per query row that is independent of the number of keys, expressed in keys."""
    diagonal: NotNegative
    """delta: keys wasted along the diagonal of a causal mask."""
    tail: NotNegative
    """lambda: share of the longest query block that is exposed at the end."""
    launch: Seconds
    query_block: Positive = 128
    key_block: Positive = 128
    odd_head: Share = 1.0
    """u: factor on E if the head size is not a multiple of 16."""
    padded_share: Share = 1.0
    """a: share of the work done on the padded head size; the rest uses the true size."""
    throttle: NotNegative = 0.0
    """h: asymptotic slowdown of long-running kernels (power limit)."""
    dropout: Annotated[float, Field(ge=1)] = 1.0
    """Time with dropout on the scores relative to that without."""


class AttentionConstants(Section):
    """Constants of one attention kernel, forward and backward."""

    forward: AttentionPass
    backward: AttentionPass


class UnfusedConstants(Sourced):
    """Batched GEMMs of unfused attention whose rows are not aligned to 16 bytes: share of peak with tiles of 64."""

    odd: Share
    """For rows of scores or of a head with an odd number of 2-byte elements (197 or 257 tokens: patches and a class token)."""
    even: Share
    """For rows with an even number that is not a multiple of 8."""


class ByDimension(Section):
    """Slowdown by the contiguous dimension of Y [m, n] = X [m, k] W [k, n]."""

    n: Annotated[float, Field(ge=1, examples=[2.7])]
    """If the output dimension n is contiguous in memory."""
    k: Annotated[float, Field(ge=1, examples=[3.0])]
    """If the reduction dimension k is contiguous."""
    m: Annotated[float, Field(ge=1, examples=[2.8])]
    """If the row dimension m is contiguous, in a weight gradient."""


class AlignmentConstants(Sourced):
    """Time of tensor-core GEMMs with rows that are not aligned to 16 bytes, relative to aligned ones, by the dimension that is contiguous
    in memory."""

    odd: ByDimension
    """For row strides with an odd number of elements."""
    even: ByDimension
    """For row strides with an even number of elements."""


class LinkConstants(Sourced):
    """Constants of collectives inside an NVLink (or similar) domain (``collectives.ring_time``)."""

    ring_share: Share
    """Share of the one-direction link bandwidth that a ring reaches."""
    exchange_share: Share
    """Share of the one-direction link bandwidth that all-to-all and P2P reach."""
    copy_bandwidth: Bandwidth
    """Rate at which the collective's kernel copies the rank's own share."""
    launch: Seconds
    """t0: fixed time per collective."""
    step: Seconds
    """Latency of one hop."""
    fill: Seconds
    """f: time to fill the pipeline of chunks into which a message is split."""
    switch_share: Share | None = None
    """Bus bandwidth of in-switch reductions (NVLink SHARP) as a share of the link bandwidth; may exceed 1."""
    switch_fill: Seconds | None = None


class TypicalShare(Sourced):
    """Measured all-reduce rates for one cluster size, as shares of the NICs' line rate."""

    nodes: Annotated[int, Field(ge=1)]
    share: Share
    """Median of the measured shares."""
    low: Share
    high: Share
    """10th and 90th percentile."""
    runs: int = 1


class NetworkConstants(Sourced):
    """One file of ``hardware_specs/networks``: the share of the line rate that a network between nodes delivers."""

    stand_in: str | None = None
    """The network whose constants are used instead if all sources that determined these are left out."""
    share: Share
    """Share of the NICs' line rate that a large ring collective reaches."""
    exchange_share: Share
    """Share of the NICs' line rate that all-to-all reaches."""
    send_share: Share
    """Share of one NIC's line rate that P2P between two ranks reaches."""
    launch: Seconds
    """Fixed time of a collective that spans nodes, in addition to that of the links inside a node."""
    step: Seconds
    """Latency of one hop between nodes."""
    fill: Seconds
    ring_step: Seconds = 0.0
    """Additional time per rank of a ring that spans nodes, for messages of megabytes."""
    typical: tuple[TypicalShare, ...] = ()
    """Measured shares by number of nodes; ``share`` applies if empty."""

    def typical_share(self, nodes: Array) -> Array:
        """Typical share of the line rate for rings over this many nodes: measured medians, interpolated linearly in log2(nodes)."""
        if not self.typical:
            return self.share
        return self._over(nodes, [one.share for one in self._met])

    def spread(self, nodes: float) -> tuple[float, float]:
        """10th and 90th percentile of the measured shares over ``typical_share``, for this many nodes; (1, 1) if none were measured."""
        if not self.typical:
            return 1.0, 1.0
        low, high = ([one.low for one in self._met], [one.high for one in self._met])
        middle = self.typical_share(nodes)
        return float(self._over(nodes, low) / middle), float(self._over(nodes, high) / middle)

    @property
    def _met(self) -> list[TypicalShare]:
        return sorted(self.typical, key=lambda one: one.nodes)

    def _over(self, nodes: Array, values: list[float]) -> Array:
        """Interpolate values at the measured cluster sizes linearly in log2(nodes)."""
        return np.interp(np.log2(np.maximum(nodes, 1)), [np.log2(one.nodes) for one in self._met], values)


class KernelConstants(Section):
    """The ``kernels:`` block of an accelerator profile; missing groups are taken from the generation."""

    gemm: GemmConstants | None = None
    memory: MemoryConstants | None = None
    attention: dict[str, AttentionConstants] | None = None
    """Kernel name (``flash2``, ``cudnn``...) -> its constants."""
    unfused: UnfusedConstants | None = None
    links: LinkConstants | None = None
    alignment: AlignmentConstants | None = None
    """By default those common to all cards, from one file (``alignment_constants``)."""


class GenerationConstants(KernelConstants):
    """A generation's defaults: all groups are present."""

    stand_in: str | None = None
    """The generation whose constants are used for a group instead if all sources that determined the group are left out."""
    gemm: GemmConstants
    memory: MemoryConstants
    attention: dict[str, AttentionConstants]
    unfused: UnfusedConstants
    links: LinkConstants


@cache
def generation_constants(generation: str) -> GenerationConstants:
    """The defaults of a generation, from ``hardware_specs/kernels/GENERATION.yaml``; missing groups are taken from the generation named by
    its ``like`` key. Raises ``EstimateError`` if there is no such file."""
    hint = "Or give the accelerator's profile a `kernels:` block of its own."
    source = read_yaml(_file("kernels", generation, hint))
    data = dict(source.data)
    like = data.pop("like", None)
    if like is None:
        return validated(GenerationConstants, source)
    own = validated(KernelConstants, replace(source, data=data))
    return generation_constants(like).model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


class _WideAttention(Section):
    """``hardware_specs/attention.yaml``."""

    memory_efficient: AttentionConstants


@cache
def memory_efficient() -> AttentionConstants:
    """PyTorch's memory-efficient attention in fp32 and TF32, on every card since A100, from ``hardware_specs/attention.yaml``."""
    return validated(_WideAttention, read_yaml(Path(str(files("hardware_specs"))) / "attention.yaml")).memory_efficient


@cache
def alignment_constants() -> AlignmentConstants:
    """Slowdown of GEMMs with rows not aligned to 16 bytes, from ``hardware_specs/alignment.yaml``."""
    return validated(AlignmentConstants, read_yaml(Path(str(files("hardware_specs"))) / "alignment.yaml"))


@cache
def is_known(generation: str) -> bool:
    """Whether there are kernel constants for a generation; TPUs, for example, have none."""
    return (Path(str(files("hardware_specs"))) / "kernels" / f"{generation}.yaml").is_file()


@cache
def network_constants(network: str) -> NetworkConstants:
    """The constants of a network between nodes, from ``hardware_specs/networks/NETWORK.yaml``; raises ``EstimateError`` if there is no such
    file."""
    return validated(NetworkConstants, read_yaml(_file("networks", network, "")))


def list_networks() -> tuple[str, ...]:
    """The names that ``network_constants`` accepts."""
    return tuple(sorted(file.stem for file in (Path(str(files("hardware_specs"))) / "networks").glob("*.yaml")))


def _file(folder: str, name: str, hint: str) -> Path:
    path = Path(str(files("hardware_specs"))) / folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        near = nearest(name, known) or f"Known: {', '.join(known)}."
        problem = f"{name!r} is not one of the {folder} that have constants."
        raise EstimateError(problem, f"{near} {hint}".strip())
    return path
