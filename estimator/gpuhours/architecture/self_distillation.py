"""Self-distillation: a vision transformer learns to match a teacher's output on other crops of the image (DINO, iBOT, DINOv2 and v3)."""

from dataclasses import replace
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from gpuhours.architecture import blocks
from gpuhours.architecture.operators import Ends, Linear, Model, Split, Stack, Trainable
from gpuhours.architecture.spec import Spec
from gpuhours.architecture.vision import AnyVision, VisionEncoder
from gpuhours.data import Data, patches
from gpuhours.inputs.arrays import Array
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.units import Count, Fraction


class SelfDistillation(Spec):
    """DINOv2 (Oquab et al. 2023, arXiv:2304.07193): the student processes ``global_crops`` large and ``local_crops`` small crops of an
    image, the teacher only the large ones, forward only. Heads with ``prototypes`` classes are applied to the class tokens of all crops
    and to the ``hidden_share`` of the student's large patches that are masked.
    """

    kind: Literal["self-distillation"] = "self-distillation"
    student: AnyVision
    """The encoder being trained."""
    teacher: AnyVision | None = None
    """A separate frozen encoder; default the student's moving average, of the same size."""
    global_crops: Count = 2
    """Large crops per image, processed by student and teacher."""
    local_crops: Count = 8
    """Small crops per image, processed only by the student."""
    local_size: Count = 98
    """Side of a small crop in pixels."""
    prototypes: Count = 131072
    """Output classes of the heads."""
    head_hidden: Count = 2048
    """Width of the heads' hidden layers."""
    bottleneck: Count = 384
    """Input width of the prototype layer."""
    skipped: Fraction = 0.0
    """Share of crops that each student layer skips: stochastic depth that also saves the computation (DINOv2, section 4)."""
    hidden_share: Fraction = 0.15
    """Share of masked patches: in half of the images, 10 to 50 % are masked (Oquab et al. 2023, table 16)."""

    @model_validator(mode="after")
    def _the_student_learns(self) -> Self:
        if self.student.trainable != "full":
            raise ValueError("the student is always trained; leave trainable out")
        if self.local_size < self.student.shape.patch:
            raise ValueError(
                f"a crop of {self.local_size} pixels is smaller than a patch of {self.student.shape.patch}"
            )
        return self

    def build(self, data: Data) -> Model:
        """The computation for one image: the crops of teacher and student, and both heads."""
        student = self.student.shape
        teacher = student if self.teacher is None else self.teacher.shape
        large, small = self.crops(student, data)
        seen = self._layers(teacher, ((self.global_crops, self.crops(teacher, data)[0]),), Trainable.FROZEN)
        front, *layers = self._layers(student, ((self.global_crops, large), (self.local_crops, small)), Trainable.FULL)
        learned = (front, *(replace(one, tokens=np.multiply(one.tokens, 1 - self.skipped)) for one in layers))
        hidden = self.global_crops * large * self.hidden_share
        watched, followed = self.global_crops + hidden, self.global_crops + self.local_crops + hidden
        heads = (
            self._head(teacher, watched, Trainable.FROZEN),
            self._head(student, followed, Trainable.FULL),
        )
        return Model(self.name or "self-distillation", (*seen, *learned, *heads), student.hidden)

    def crops(self, encoder: VisionEncoder, data: Data) -> tuple[Array, Array]:
        """(patches of a large crop, patches of a small crop)."""
        clip = encoder.clip(data)
        return encoder.patches_per_slice(clip), patches(self.local_size, self.local_size, encoder.patch)

    def _layers(
        self, encoder: VisionEncoder, crops: tuple[tuple[Array, Array], ...], kind: Trainable
    ) -> tuple[Stack | Ends, ...]:
        """Embedding and layers over crops of several sizes: n crops of s tokens each count as N sequences of S tokens with N S = sum(n s)
        and N S^2 = sum(n s^2), which preserves the FLOPs of GEMMs and attention."""
        tokens = sum((count * size for count, size in crops), 0.0)
        lengths = [(count, size + encoder.extra_tokens) for count, size in crops]
        whole = sum((count * length for count, length in lengths), 0.0)
        square = sum((count * length**2 for count, length in lengths), 0.0)
        layers = encoder.stacks(whole, np.divide(square, whole), 1, kind)
        return (encoder.embedding(tokens, kind), *(replace(one, name=f"{_OF[kind]} layers") for one in layers))

    def _head(self, encoder: VisionEncoder, tokens: Array, kind: Trainable) -> Ends:
        """A norm, three linear layers ending at the bottleneck, and the prototype layer with its softmax."""
        h, wide = encoder.hidden, self.head_hidden
        linears = (
            Linear("head", h, wide, Split.WHOLE, bias=True),
            Linear("head 2", wide, wide, Split.WHOLE, bias=True),
            Linear("bottleneck", wide, self.bottleneck, Split.WHOLE, bias=True),
            Linear("prototypes", self.bottleneck, self.prototypes, Split.WHOLE),
        )
        norm = blocks.norm_parameters(encoder.norm, h)
        return Ends(
            f"{_OF[kind]} heads", linears, norm, tokens, first=False, vocabulary=self.prototypes, trainable=kind
        )

    @property
    def of_pictures(self) -> bool:
        """Same as its encoder's."""
        return self.student.of_pictures

    def tokens_per_sample(self, data: Data) -> Array:
        """Patches of all student crops of one image."""
        large, small = self.crops(self.student.shape, data)
        return self.global_crops * large + self.local_crops * small

    def assumptions(self, data: Data) -> tuple[Assumption, ...]:
        """Assumptions of the student."""
        return self.student.assumptions(data)


_OF = {Trainable.FROZEN: "teacher", Trainable.FULL: "student"}
