"""Optimiser state per parameter, and the memory traffic and FLOPs of the update."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from gpuhours.inputs.records import dataclass

OptimiserName = Literal[
    "adamw", "adamw-unfused", "adamw-8bit", "adafactor", "muon", "soap", "sgd", "sgd-momentum", "lion", "galore"
]


@dataclass(frozen=True)
class Optimiser:
    """State per parameter: ``values`` values in the format of the moments, plus ``bytes`` bytes in a format of its own.

    ``traffic``     bytes per parameter moved by the update, relative to fused AdamW (28 B in fp32: weight, two moments read and
                    written, gradient read)
    ``iterations``  Newton-Schulz iterations: each 4 m^2 n + 2 m^3 FLOP for a matrix [m, n], m the smaller side
    """

    values: float
    bytes: float
    traffic: float
    source: str
    iterations: int = 0


OPTIMISERS: Final[Mapping[str, Optimiser]] = MappingProxyType({
    "adamw": Optimiser(2, 0, 1.0, "Kingma and Ba 2015; Loshchilov and Hutter 2019"),
    "adamw-unfused": Optimiser(2, 0, 94 / 35, "own measurements on H200: AdamW by tensor lists moves 94 B where the fused one moves 35"),
    # one byte per value and an fp32 scale per block of 256
    "adamw-8bit": Optimiser(
        0, 2 * (1 + 4 / 256), 16 / 28, "Dettmers et al. 2022, arXiv:2110.02861, section 2"
    ),
    # rows and columns of the second moment: less than a thousandth of the parameters
    "adafactor": Optimiser(
        0, 0, 16 / 28, "Shazeer and Stern 2018, arXiv:1804.04235, section 3",
    ),
    "muon": Optimiser(1, 0, 20 / 28, "Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982, section 2: five iterations", iterations=5),
    # moments, and for a square matrix two preconditioners and their two eigenbases
    "soap": Optimiser(6, 0, 3.0, "Vyas et al. 2024, arXiv:2409.11321, section 6.2 (square matrices)"),
    "sgd": Optimiser(0, 0, 12 / 28, "no momentum"),
    "sgd-momentum": Optimiser(1, 0, 20 / 28, "one momentum"),
    "lion": Optimiser(1, 0, 20 / 28, "Chen et al. 2023, arXiv:2302.06675"),
    # rank one quarter of the width: a quarter of both moments, and the projection
    "galore": Optimiser(0.75, 0, 1.5, "Zhao et al. 2024, arXiv:2403.03507, table 1, at rank h / 4"),
})  # fmt: skip
"""By the names of ``training.optimizer``. Embeddings and heads, which Muon and SOAP leave to AdamW, are counted like all other weights."""
