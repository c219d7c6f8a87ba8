"""The common base of all architectures."""

from typing import Literal

from gpuhours.architecture.operators import Model, Trainable
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.yaml_files import Section

Training = Literal["full", "frozen", "lora"]


class Spec(Section):
    """A model's shape, read from the ``model:`` block. Numbers may be replaced by arrays, strings and flags may
    not."""

    name: str = ""
    """The published model that the shape is taken from, if any."""
    unread: tuple[str, ...] = ()
    """Keys of a configuration file that were not understood, with their values: reported, but without effect."""

    def build(self, data: Data) -> Model:
        """The operators for one training sample of ``data``."""
        raise NotImplementedError

    def tokens_per_sample(self, data: Data) -> Array | None:
        """Tokens per sample, in the stream in which the run counts tokens; None if unknown."""
        raise NotImplementedError

    def effective_tokens(self, data: Data) -> Array | None:
        """Tokens per sample that are not padding; None if unknown."""
        return self.tokens_per_sample(data.unpadded)

    def sees_frames(self, data: Data) -> bool:
        """Whether ``data.frames`` affects the computation."""
        return True

    @property
    def of_pictures(self) -> bool:
        """Whether a sample is a single image if the run states no frames."""
        return False

    @property
    def swaps_blocks(self) -> bool:
        """Whether what trains its adapters on one card keeps the frozen weights in host memory if the card cannot hold them."""
        return False

    @property
    def padded_to(self) -> int | None:
        """Number of tokens to which the model always pads a sample; None if it does not."""
        return None

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Shape values that are not given and were set by default rules."""
        return ()

    @property
    def not_understood(self) -> tuple[Assumption, ...]:
        """The ignored keys of a configuration file (``unread``) as a remark; empty if there are none."""
        if not self.unread:
            return ()
        return (
            Assumption(
                "model", f"not understood: {', '.join(self.unread)}", "", "these keys of the file have no effect"
            ),
        )


def refuse_uneven_heads(hidden: int, heads: int, remedy: str = "") -> None:
    """Raise ``ValueError`` if ``hidden`` is not divisible by ``heads``; ``remedy`` is advice added to the message."""
    if hidden % heads:
        raise ValueError(f"hidden = {hidden} is not divisible by {heads} heads{remedy}")


def treatment(training: Training, *, gradient_upstream: bool) -> Trainable:
    """The ``Trainable`` of a part: a frozen part passes gradients through if anything upstream is trained."""
    if training == "full":
        return Trainable.FULL
    if training == "lora":
        return Trainable.LORA
    return Trainable.PASS_THROUGH if gradient_upstream else Trainable.FROZEN
