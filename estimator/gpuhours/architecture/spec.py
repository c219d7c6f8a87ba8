"""What every architecture that a run can name has in common."""

from typing import Literal

from gpuhours.architecture.operators import Model, Trainable
from gpuhours.data import Data
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.yaml_files import Section

Training = Literal["full", "frozen", "lora"]


class Spec(Section):
    """A shape, read from the ``model:`` block; numbers may be exchanged for arrays, words and flags may
    not."""

    name: str = ""
    """The published model that the shape is taken from, if any."""
    unread: tuple[str, ...] = ()
    """Keys of a configuration file that nobody here understands, with their values: listed, without effect."""

    def build(self, data: Data) -> Model:
        """What one training sample of ``data`` computes."""
        raise NotImplementedError

    def tokens_per_sample(self, data: Data) -> Array | None:
        """Tokens of one sample in the stream that the run counts its tokens in."""
        raise NotImplementedError

    def effective_tokens(self, data: Data) -> Array | None:
        """Those of them that carry something, the rest being padding."""
        return self.tokens_per_sample(data.unpadded)

    def sees_frames(self, data: Data) -> bool:
        """Whether ``frames`` of the data have an effect."""
        return True

    @property
    def of_pictures(self) -> bool:
        """Whether a sample is one picture where nobody states frames."""
        return False

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """What the shape leaves open and a rule filled in."""
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
    """Raise ``ValueError`` where a width does not divide into its heads; ``remedy`` says what to do."""
    if hidden % heads:
        raise ValueError(f"hidden = {hidden} does not divide into {heads} heads{remedy}")


def treatment(training: Training, *, gradient_upstream: bool) -> Trainable:
    """What training does to a part: a frozen one passes gradients on to whatever before it is trained."""
    if training == "full":
        return Trainable.FULL
    if training == "lora":
        return Trainable.LORA
    return Trainable.PASS_THROUGH if gradient_upstream else Trainable.FROZEN
