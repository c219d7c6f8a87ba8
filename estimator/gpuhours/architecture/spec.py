"""The common base of all architectures."""

from typing import Literal

from gpuhours.architecture.operators import Model, Trainable
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.yaml_files import Section

Training = Literal["full", "frozen", "lora"]


class Spec(Section):
    """A shape, read from the ``model:`` block; numbers may be replaced by arrays, words and flags may
    not."""

    name: str = ""
    """The published model that the shape is taken from, if any."""
    unread: tuple[str, ...] = ()
    """Keys of a configuration file that were not understood, with their values: reported, without effect."""

    def build(self, data: Data) -> Model:
        """The computation for one training sample of ``data``."""
        raise NotImplementedError

    def tokens_per_sample(self, data: Data) -> Array | None:
        """Tokens of one sample in the stream that the run's tokens are counted in."""
        raise NotImplementedError

    def effective_tokens(self, data: Data) -> Array | None:
        """Those of them that are not padding."""
        return self.tokens_per_sample(data.unpadded)

    def sees_frames(self, data: Data) -> bool:
        """Whether ``frames`` of the data have an effect."""
        return True

    @property
    def of_pictures(self) -> bool:
        """Whether a sample is one image if no frames are stated."""
        return False

    @property
    def padded_to(self) -> int | None:
        """Tokens to which the model pads every sample, whatever it holds; None if a sample has a length of its own."""
        return None

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Values that the shape leaves open, filled in by rules."""
        return ()

    @property
    def not_understood(self) -> tuple[Assumption, ...]:
        """The keys of a configuration file that have no effect, as one remark."""
        if not self.unread:
            return ()
        return (
            Assumption(
                "model", f"not understood: {', '.join(self.unread)}", "", "these keys of the file have no effect"
            ),
        )


def refuse_uneven_heads(hidden: int, heads: int, remedy: str = "") -> None:
    """Raise ``ValueError`` if a width is not divisible by its heads; ``remedy`` says what to do."""
    if hidden % heads:
        raise ValueError(f"hidden = {hidden} is not divisible by {heads} heads{remedy}")


def treatment(training: Training, *, gradient_upstream: bool) -> Trainable:
    """How training affects a part: a frozen one passes gradients on if anything before it is trained."""
    if training == "full":
        return Trainable.FULL
    if training == "lora":
        return Trainable.LORA
    return Trainable.PASS_THROUGH if gradient_upstream else Trainable.FROZEN
