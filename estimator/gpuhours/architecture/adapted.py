"""The common base of architectures that are trained as a whole or through adapters in all their layers."""

from typing import ClassVar, Literal

from gpuhours.architecture import lora
from gpuhours.architecture.operators import Model
from gpuhours.architecture.spec import Spec
from gpuhours.inputs.units import Count


class Adapted(Spec):
    """A model of one part: all of it is trained, or only the adapters beside its frozen layers."""

    NARROW_ADAPTERS: ClassVar[bool] = False
    """Whether the library that trains these models adds adapters in the run's format: diffusers does, peft's own models keep fp32."""
    trainable: Literal["full", "lora"] = "full"
    rank: Count = 8
    """LoRA rank, if ``trainable: lora``."""
    targets: lora.Targets = lora.ATTENTION
    """Projections that get LoRA adapters: q, k, v, o (also of cross-attention), up, gate, down, or all-linear."""

    def trained(self, model: Model) -> Model:
        """The model with its parts trained or frozen as ``trainable`` says."""
        if self.trainable == "full":
            return model
        return lora.adapted(model, self.rank, self.targets, narrow=self.NARROW_ADAPTERS)
