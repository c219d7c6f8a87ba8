"""What number formats a run computes in and keeps: bytes per parameter and per activation element.

Two words decide it. ``dtype`` is what the matrix products read; ``state`` is what the optimiser keeps:

=======  ==================================================  ====================================
state    weights + master + moments + gradients, B/parameter  who does it
=======  ==================================================  ====================================
amp      4 + 0 + 8 + 4                                       autocast over fp32 weights; FSDP2 mixed
mixed    2 + 4 + 8 + 2                                       Megatron, DeepSpeed: bf16 weights, fp32 master
pure     2 + 0 + 4 + 2                                       everything bf16
=======  ==================================================  ====================================

Source: Rajbhandari et al. 2020, ZeRO, section 3.1 (2 + 2 + 12 = 16 B/parameter); Micikevicius et al. 2018.
A stack may hold its gradients wider than the weights (Megatron's fp32 main gradients: 18 B/parameter in all):
a fact of the software, not of the precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gpuhours.inputs.errors import EstimateError, nearest

FP32: Final = 4.0
BF16: Final = 2.0


@dataclass(frozen=True)
class _Format:
    """Bytes of one number in each place a format is used.

    ``element`` an activation outside the matrix products, ``operand`` an input of a product kept for its
    weight gradient, ``copies`` quantised copies of a weight kept through the step beside the stored one,
    ``frozen`` a weight that is not trained, ``product`` the peak rate the products run at.
    """

    element: float
    operand: float
    copies: float
    frozen: float
    product: str


FORMATS: Final[dict[str, _Format]] = {
    "fp32": _Format(4, 4, 0, 4, "fp32"),
    "tf32": _Format(4, 4, 0, 4, "tf32"),
    "bf16": _Format(2, 2, 0, 2, "bf16"),
    "fp16": _Format(2, 2, 0, 2, "fp16"),
    # Transformer Engine: an fp8 weight and its transpose are cached over the micro-batches
    "fp8": _Format(2, 1, 2, 2, "fp8"),
    # one 1-byte scale for 32 elements, in both directions (OCP Microscaling Formats 1.0)
    "mxfp8": _Format(2, 1 + 1 / 32, 2 + 2 / 32, 2, "mxfp8"),
    # half a byte and one fp8 scale for 16 elements, in both directions
    "nvfp4": _Format(2, 0.5 + 1 / 16, 1 + 2 / 16, 2, "nvfp4"),
    # frozen weights of 4.127 bit (double quantised), bf16 products (Dettmers et al. 2023, QLoRA, section 3)
    "nf4": _Format(2, 2, 0, 4.127 / 8, "bf16"),
}
NARROW: Final = frozenset({"fp8", "mxfp8", "nvfp4"})
"""Formats that inputs of products are cast to; everything else stays in 16 bit."""
ALSO: Final = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32", "single": "fp32", "float8": "fp8",
    "bf16-mixed": "bf16", "fp16-mixed": "fp16", "16-mixed": "fp16", "32-true": "fp32", "4bit": "nf4",
}  # fmt: skip
"""What people and training code call a format, where that has one meaning."""
STATES: Final = ("amp", "mixed", "pure")


def spelled(dtype: object) -> object:
    """A format as its users write it, in the one spelling known here: ``BF16``, ``torch.bfloat16`` -> ``bf16``."""
    if not isinstance(dtype, str):
        return dtype
    plain = dtype.strip().lower().replace("_", "-").removeprefix("torch.")
    return ALSO.get(plain, plain)


@dataclass(frozen=True)
class Precision:
    """The formats of one run; every property is bytes per parameter unless it says otherwise."""

    dtype: str = "bf16"
    state: str = "mixed"

    def __post_init__(self) -> None:
        for field, value, known in (("dtype", self.dtype, tuple(FORMATS)), ("state", self.state, STATES)):
            if value not in known:
                hint = f"{nearest(value, known)} Known: {', '.join(known)}.".strip()
                raise EstimateError(f"{field} = {value!r} is not a known format", hint)

    @property
    def _format(self) -> _Format:
        return FORMATS[self.dtype]

    @property
    def full(self) -> bool:
        """fp32 or tf32: nothing is kept below 4 bytes, whatever the state says."""
        return self._format.element == FP32

    @property
    def product(self) -> str:
        """The dtype whose peak the matrix products run at, as ``Accelerator.peak_for`` wants it."""
        return self._format.product

    @property
    def element(self) -> float:
        """Bytes of one activation element, and of one gathered or exchanged weight."""
        return self._format.element

    @property
    def operand(self) -> float:
        """Bytes per element of a matrix product's input kept for the weight gradient."""
        return self._format.operand

    @property
    def autocast(self) -> bool:
        """Products run in a narrower format than the stored weights: casts at use."""
        return self.state == "amp" and not self.full

    @property
    def weights(self) -> float:
        """Stored weights that train."""
        return FP32 if self.full or self.state == "amp" else BF16

    @property
    def copies(self) -> float:
        """Copies of a weight beside the stored one that live through the step: the quantised weight and its
        transpose (fp8: 2)."""
        return self._format.copies

    @property
    def casts(self) -> float:
        """Autocast's cache of a weight it has cast, from its first use until autocast ends."""
        return self.element if self.autocast else 0.0

    @property
    def frozen(self) -> float:
        """Stored weights that do not train."""
        return self._format.frozen

    @property
    def master(self) -> float:
        """The fp32 weights the optimiser updates, where the stored ones are narrower."""
        return FP32 if self.state == "mixed" and not self.full else 0.0

    @property
    def moments(self) -> float:
        """Both moments of Adam."""
        return 2 * (BF16 if self.state == "pure" and not self.full else FP32)

    @property
    def gradients(self) -> float:
        """Gradients as autograd leaves them: the stored weight's format."""
        return self.weights

    @property
    def optimiser(self) -> float:
        """Master weights and moments together."""
        return self.master + self.moments
