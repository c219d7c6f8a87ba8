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

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, WithJsonSchema

from gpuhours.hardware.optimisers import OPTIMISERS
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.records import dataclass

FP32: Final = 4.0
BF16: Final = 2.0


@dataclass(frozen=True)
class NumberFormat:
    """What a number format costs in each place it is used. Bytes are of one number.

    ``input``      an input of a matrix product; ``scale`` of it, the scale that a block of values shares; ``output``
    ``element``    an activation outside the matrix products, ``copies`` quantised copies of a weight kept through the step beside the
                   stored one, ``frozen`` a weight that is not trained
    ``peak``       the rate of a profile that its products run at
    ``product``    the format of the products, where weights are unpacked for them
    ``trains``     whether a run can be in it; the others are rates of products alone
    ``words``      what tables call it, in lower case without blanks
    """

    name: str
    input: float
    peak: str
    element: float = BF16
    output: float = BF16
    scale: float = 0.0
    copies: float = 0.0
    frozen: float = BF16
    product: str = ""
    trains: bool = True
    words: tuple[str, ...] = ()
    casts: Literal["plain", "blocks", "four_bit"] = "plain"
    """Which figure of a stack's ``casts`` quantising it costs more by, if any."""

    @property
    def kept(self) -> float:
        """An input of a product kept for its weight gradient, with its scale."""
        return self.input + self.scale

    @property
    def unpacked(self) -> bool:
        """Weights are unpacked to another format for each product."""
        return self.product not in ("", self.name)

    @property
    def narrow(self) -> bool:
        """Products of 8 bit or less: inputs are cast for them."""
        return self.input <= 1


_FORMATS = (
    NumberFormat("fp64", 8, "fp64", element=8, output=8, frozen=8, trains=False),
    NumberFormat("fp32", 4, "fp32", element=4, output=4, frozen=4, words=("fp32", "float32")),
    NumberFormat("tf32", 4, "tf32", element=4, output=4, frozen=4, words=("tf32",)),
    NumberFormat("bf16", 2, "bf16", words=("bf16", "bfloat16", "int8")),
    NumberFormat("fp16", 2, "fp16", words=("fp16", "float16", "half", "o2")),
    # Transformer Engine: an fp8 weight and its transpose are cached over the micro-batches
    NumberFormat("fp8", 1, "fp8", copies=2, words=("fp8", "float8", "e4m3")),
    # one 1-byte scale for 32 elements, in both directions (OCP Microscaling Formats 1.0)
    NumberFormat("mxfp8", 1, "fp8", scale=1 / 32, copies=2 + 2 / 32, words=("mxfp8",), casts="blocks"),
    # half a byte and one fp8 scale for 16 elements, in both directions
    NumberFormat("nvfp4", 0.5, "fp4", scale=1 / 16, copies=1 + 2 / 16, words=("nvfp4", "fp4"), casts="four_bit"),
    # half a byte and one 1-byte scale for 32 elements, in both directions (OCP Microscaling Formats 1.0)
    NumberFormat("mxfp4", 0.5, "fp4", scale=1 / 32, copies=1 + 2 / 32, words=("mxfp4",), casts="four_bit"),
    NumberFormat("fp4", 0.5, "fp4", trains=False),
    NumberFormat("int8", 1, "int8", trains=False),
    # frozen weights of 4.127 bit (double quantised), bf16 products (Dettmers et al. 2023, QLoRA, section 3)
    NumberFormat("nf4", 2, "bf16", frozen=4.127 / 8, product="bf16", words=("nf4", "qlora", "int4", "4bit")),
)
NUMBER_FORMATS: Final[dict[str, NumberFormat]] = {one.name: one for one in _FORMATS}
"""Every number format by name: to add one, add a line."""
FORMATS: Final[dict[str, NumberFormat]] = {one.name: one for one in _FORMATS if one.trains}
"""Those that a run can be in."""
PEAKS: Final = tuple(dict.fromkeys(one.peak for one in _FORMATS))
"""The rates that a profile may give."""
WORDS: Final[dict[str, str]] = {word: one.name for one in _FORMATS for word in one.words}
"""What tables call them."""


def _has_rate(name: str) -> str:
    if name not in PEAKS:
        raise ValueError(f"{name!r} is no rate of matrix products. {nearest(name, PEAKS)} Known: {', '.join(PEAKS)}.")
    return name


Dtype = Annotated[str, AfterValidator(_has_rate), WithJsonSchema({"enum": list(PEAKS), "type": "string"})]
"""The name of a rate in a profile."""
ALSO: Final = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32", "single": "fp32", "float8": "fp8",
    "bf16-mixed": "bf16", "fp16-mixed": "fp16", "16-mixed": "fp16", "32-true": "fp32", "4bit": "nf4",
}  # fmt: skip
"""What people and training code call a format, where that has one meaning."""
STATES: Final = ("amp", "mixed", "pure")


def spelled(dtype: object) -> object:
    """A format as its users write it, in the one spelling known here: ``BF16``, ``torch.bfloat16`` -> ``bf16``.

    >>> spelled("torch.bfloat16")
    'bf16'
    """
    if not isinstance(dtype, str):
        return dtype
    plain = dtype.strip().lower().replace("_", "-").removeprefix("torch.")
    return ALSO.get(plain, plain)


@dataclass(frozen=True)
class Precision:
    """The formats of one run; every property is bytes per parameter unless it says otherwise."""

    dtype: str = "bf16"
    state: str = "mixed"
    optimizer: str = "adamw"
    casts_at_use: bool = True
    """What is stored wider than products read is cast where it is used, by autocast; not where it arrives cast."""
    wide_stream: bool = False
    """What quantised products put out is fp32, and so is all between them; attention, adapters and head too where no autocast is."""

    def __post_init__(self) -> None:
        for field, value, known in (
            ("dtype", self.dtype, tuple(FORMATS)),
            ("state", self.state, STATES),
            ("optimizer", self.optimizer, tuple(OPTIMISERS)),
        ):
            if value not in known:
                hint = f"{nearest(value, known)} Known: {', '.join(known)}.".strip()
                raise EstimateError(f"{field} = {value!r} is not a known format", hint)

    @property
    def format(self) -> NumberFormat:
        """What the products read."""
        return FORMATS[self.dtype]

    @property
    def full(self) -> bool:
        """fp32 or tf32: nothing is kept below 4 bytes, whatever the state says."""
        return self.format.element == FP32

    @property
    def product(self) -> str:
        """The dtype whose peak the matrix products run at, as ``Accelerator.peak_for`` wants it."""
        return self.format.product or self.dtype

    @property
    def element(self) -> float:
        """Bytes of one activation element, and of one gathered or exchanged weight."""
        return FP32 if self.wide_stream else self.format.element

    @property
    def operand(self) -> float:
        """Bytes per element of a matrix product's input kept for the weight gradient."""
        return self.format.kept

    @property
    def autocast(self) -> bool:
        """Products run in a narrower format than the stored weights: casts at use."""
        return self.state == "amp" and not self.full and self.casts_at_use

    @property
    def all_wide(self) -> bool:
        """Nothing narrows what goes between quantised products, their adapters and attention included."""
        return self.wide_stream and not self.autocast

    @property
    def weights(self) -> float:
        """Stored weights that train."""
        return FP32 if self.full or self.state == "amp" else BF16

    @property
    def copies(self) -> float:
        """Copies of a weight beside the stored one that live through the step: the quantised weight and its
        transpose (fp8: 2)."""
        return self.format.copies

    @property
    def casts(self) -> float:
        """Autocast's cache of a weight it has cast, from its first use until autocast ends."""
        return self.element if self.autocast else 0.0

    @property
    def frozen(self) -> float:
        """Stored weights that do not train."""
        return self.format.frozen

    def frozen_layer(self, held: Array, trained: Array) -> Array:
        """Bytes of a layer gathered to be used: what trains as an element, what does not as it is stored."""
        return trained * self.element + (held - trained) * self.frozen

    @property
    def master(self) -> float:
        """The fp32 weights the optimiser updates, where the stored ones are narrower."""
        return FP32 if self.state == "mixed" and not self.full else 0.0

    @property
    def moments(self) -> float:
        """What the optimiser keeps beside the weights: both moments of Adam, or what another one does."""
        kept = OPTIMISERS[self.optimizer]
        return kept.values * (BF16 if self.state == "pure" and not self.full else FP32) + kept.bytes

    @property
    def gradients(self) -> float:
        """Gradients as autograd leaves them: the stored weight's format."""
        return self.weights

    @property
    def optimiser(self) -> float:
        """Master weights and moments together.

        >>> Precision("bf16", "mixed").optimiser, Precision("bf16", "amp").optimiser, Precision("bf16", "pure").optimiser
        (12.0, 8.0, 4.0)
        """
        return self.master + self.moments
