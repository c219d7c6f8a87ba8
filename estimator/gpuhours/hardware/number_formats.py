"""The number formats of a run's compute and storage: bytes per parameter and per activation element.

Two settings determine them. ``dtype`` is the input format of GEMMs; ``state`` is what the optimiser stores:

=======  ==================================================  ====================================
state    weights + master + moments + gradients, B/parameter  used by
=======  ==================================================  ====================================
amp      4 + 0 + 8 + 4                                       autocast over fp32 weights; FSDP2 mixed
mixed    2 + 4 + 8 + 2                                       Megatron, DeepSpeed: bf16 weights, fp32 master
pure     2 + 0 + 4 + 2                                       everything bf16
=======  ==================================================  ====================================

Source: Rajbhandari et al. 2020, ZeRO, section 3.1 (2 + 2 + 12 = 16 B/parameter); Micikevicius et al. 2018.
A stack may store gradients in a wider format than the weights (Megatron's fp32 main gradients: 18 B/parameter in total): this is a
property of the software, not of the precision.
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
    """The sizes of a number format in each of its uses, in bytes per value.

    ``input``      an input of a GEMM; ``scale``: its share of the scale per block of values; ``output``: an output of a GEMM
    ``element``    an activation outside GEMMs
    ``copies``     quantised copies of a weight that are kept through the step in addition to the stored weight
    ``frozen``     a weight that is not trained
    ``peak``       the peak rate of a profile that applies to its GEMMs
    ``gemm``       the format of the GEMMs, if weights are dequantised for them
    ``trains``     whether a run can use the format; the others are GEMM rates only
    ``words``      names in tables, in lower case without spaces
    """

    name: str
    input: float
    peak: str
    element: float = BF16
    output: float = BF16
    scale: float = 0.0
    copies: float = 0.0
    frozen: float = BF16
    gemm: str = ""
    trains: bool = True
    words: tuple[str, ...] = ()
    casts: Literal["plain", "blocks", "four_bit"] = "plain"
    """Which entry of a stack's ``casts`` gives the additional cost of quantisation, if any."""

    @property
    def kept(self) -> float:
        """Bytes per value of a GEMM input saved for the weight gradient, with its scale."""
        return self.input + self.scale

    @property
    def unpacked(self) -> bool:
        """Whether weights are dequantised to another format for each GEMM."""
        return self.gemm not in ("", self.name)

    @property
    def narrow(self) -> bool:
        """Whether GEMMs use 8 bits or fewer, so that their inputs are cast."""
        return self.input <= 1


_FORMATS = (
    NumberFormat("fp64", 8, "fp64", element=8, output=8, frozen=8, trains=False),
    NumberFormat("fp32", 4, "fp32", element=4, output=4, frozen=4, words=("fp32", "float32")),
    NumberFormat("tf32", 4, "tf32", element=4, output=4, frozen=4, words=("tf32",)),
    NumberFormat("bf16", 2, "bf16", words=("bf16", "bfloat16", "int8")),
    NumberFormat("fp16", 2, "fp16", words=("fp16", "float16", "half", "o2")),
    # Transformer Engine: an fp8 weight and its transpose are cached across micro-batches
    NumberFormat("fp8", 1, "fp8", copies=2, words=("fp8", "float8", "e4m3")),
    # one 1-byte scale per 32 elements, in both directions (OCP Microscaling Formats 1.0)
    NumberFormat("mxfp8", 1, "fp8", scale=1 / 32, copies=2 + 2 / 32, words=("mxfp8",), casts="blocks"),
    # half a byte, and one fp8 scale per 16 elements, in both directions
    NumberFormat("nvfp4", 0.5, "fp4", scale=1 / 16, copies=1 + 2 / 16, words=("nvfp4", "fp4"), casts="four_bit"),
    # half a byte, and one 1-byte scale per 32 elements, in both directions (OCP Microscaling Formats 1.0)
    NumberFormat("mxfp4", 0.5, "fp4", scale=1 / 32, copies=1 + 2 / 32, words=("mxfp4",), casts="four_bit"),
    NumberFormat("fp4", 0.5, "fp4", trains=False),
    NumberFormat("int8", 1, "int8", trains=False),
    # frozen weights of 4.127 bits (double quantisation), bf16 GEMMs (Dettmers et al. 2023, QLoRA, section 3)
    NumberFormat("nf4", 2, "bf16", frozen=4.127 / 8, gemm="bf16", words=("nf4", "qlora", "int4", "4bit")),
)
NUMBER_FORMATS: Final[dict[str, NumberFormat]] = {one.name: one for one in _FORMATS}
"""Every number format by name; to add one, add a line to ``_FORMATS``."""
FORMATS: Final[dict[str, NumberFormat]] = {one.name: one for one in _FORMATS if one.trains}
"""The formats that a run can use."""
PEAKS: Final = tuple(dict.fromkeys(one.peak for one in _FORMATS))
"""The rates that a profile may specify."""
WORDS: Final[dict[str, str]] = {word: one.name for one in _FORMATS for word in one.words}
"""Name in tables -> format."""


def _has_rate(name: str) -> str:
    if name not in PEAKS:
        raise ValueError(f"{name!r} is not a matrix rate. {nearest(name, PEAKS)} Known: {', '.join(PEAKS)}.")
    return name


Dtype = Annotated[str, AfterValidator(_has_rate), WithJsonSchema({"enum": list(PEAKS), "type": "string"})]
"""The name of a GEMM rate in a profile."""
ALSO: Final = {
    "bfloat16": "bf16", "float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32", "single": "fp32", "float8": "fp8",
    "bf16-mixed": "bf16", "fp16-mixed": "fp16", "16-mixed": "fp16", "32-true": "fp32", "4bit": "nf4",
}  # fmt: skip
"""Other unambiguous names of formats, as used by people and in training code."""
STATES: Final = ("amp", "mixed", "pure")


def spelled(dtype: object) -> object:
    """The canonical name of a format: ``BF16``, ``torch.bfloat16`` -> ``bf16``.

    >>> spelled("torch.bfloat16")
    'bf16'
    """
    if not isinstance(dtype, str):
        return dtype
    plain = dtype.strip().lower().replace("_", "-").removeprefix("torch.")
    return ALSO.get(plain, plain)


@dataclass(frozen=True)
class Precision:
    """The formats of one run; properties are bytes per parameter unless stated otherwise."""

    dtype: str = "bf16"
    state: str = "mixed"
    optimizer: str = "adamw"
    casts_at_use: bool = True
    """Whether values stored in a wider format than that of the GEMMs are cast at use (autocast), rather than earlier."""
    wide_stream: bool = False
    """Whether outputs of quantised GEMMs and everything between them are fp32; without autocast also attention, adapters and head."""

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
        """The format of GEMM inputs."""
        return FORMATS[self.dtype]

    @property
    def full(self) -> bool:
        """fp32 or tf32: everything is stored in 4 bytes, whatever ``state`` is."""
        return self.format.element == FP32

    @property
    def gemm(self) -> str:
        """The dtype whose peak applies to GEMMs, as an argument of ``Accelerator.peak_for``."""
        return self.format.gemm or self.dtype

    @property
    def element(self) -> float:
        """Bytes of one activation element, and of one weight in an all-gather or exchange."""
        return FP32 if self.wide_stream else self.format.element

    @property
    def operand(self) -> float:
        """Bytes per element of a GEMM input saved for the weight gradient."""
        return self.format.kept

    @property
    def autocast(self) -> bool:
        """Whether GEMMs use a narrower format than the stored weights, which are cast at use."""
        return self.state == "amp" and not self.full and self.casts_at_use

    @property
    def all_wide(self) -> bool:
        """Whether everything between quantised GEMMs is fp32, including adapters and attention."""
        return self.wide_stream and not self.autocast

    @property
    def weights(self) -> float:
        """Stored trainable weights."""
        return FP32 if self.full or self.state == "amp" else BF16

    @property
    def copies(self) -> float:
        """Copies of a weight that are kept through the step in addition to the stored weight: the quantised weight and its transpose
        (fp8: 2)."""
        return self.format.copies

    @property
    def casts(self) -> float:
        """Cast weights cached by autocast, from first use until autocast ends."""
        return self.element if self.autocast else 0.0

    @property
    def frozen(self) -> float:
        """Stored frozen weights."""
        return self.format.frozen

    def frozen_layer(self, held: Array, trained: Array) -> Array:
        """Bytes of a layer gathered for use, with ``held`` parameters of which ``trained`` are trainable: trainable weights in the format
        of activations, frozen weights as stored."""
        return trained * self.element + (held - trained) * self.frozen

    @property
    def master(self) -> float:
        """The fp32 weights that the optimiser updates, if the stored ones are narrower."""
        return FP32 if self.state == "mixed" and not self.full else 0.0

    @property
    def moments(self) -> float:
        """Optimiser state besides the weights: both moments of Adam, or another optimiser's state."""
        kept = OPTIMISERS[self.optimizer]
        return kept.values * (BF16 if self.state == "pure" and not self.full else FP32) + kept.bytes

    @property
    def gradients(self) -> float:
        """Gradients as autograd produces them: in the format of the stored weight."""
        return self.weights

    @property
    def optimiser(self) -> float:
        """Master weights and moments together.

        >>> Precision("bf16", "mixed").optimiser, Precision("bf16", "amp").optimiser, Precision("bf16", "pure").optimiser
        (12.0, 8.0, 4.0)
        """
        return self.master + self.moments
