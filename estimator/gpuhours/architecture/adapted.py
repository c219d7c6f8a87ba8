"""The common base of architectures that are trained as a whole or through adapters in all their layers."""

from typing import Literal

from gpuhours.architecture import lora
from gpuhours.architecture.operators import Model
from gpuhours.architecture.spec import Spec
from gpuhours.inputs.units import Count


class Adapted(Spec):
    """A model of one part: all of it is trained, or only the adapters beside its frozen layers."""

    trainable: Literal["full", "lora"] = "full"
    rank: Count = 8
    """LoRA rank, if ``trainable: lora``."""
    targets: lora.Targets = lora.ATTENTION
    """Projections that get LoRA adapters: q, k, v, o (also of cross-attention), up, gate, down, or all-linear."""

    def trained(self, model: Model) -> Model:
        """The model with its parts trained or frozen as ``trainable`` says."""
        return model if self.trainable == "full" else lora.adapted(model, self.rank, self.targets)
