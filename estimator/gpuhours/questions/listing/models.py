"""The parts, parameters and FLOPs of one model, for ``gpuhours models``."""

from __future__ import annotations

from typing import Any

from gpuhours.architecture import catalogue
from gpuhours.architecture.model_spec import read_model
from gpuhours.architecture.spec import Spec
from gpuhours.data import Data
from gpuhours.flops import CONVENTIONS, PartFlops, model_flops, part_flops
from gpuhours.inputs.assumptions import Assumption
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import Source, validated
from gpuhours.questions.envelope import envelope

ONE_PICTURE = Data(frames=1, seq_len=2048)
"""The default sample for showing a model: an image, and 2,048 tokens as in the training of GPT-3 to Llama 1."""


@dataclass(frozen=True)
class ModelEntry:
    """One line of the list."""

    name: str
    title: str
    kind: str
    parameters: float
    active: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "name": self.name, "title": self.title, "kind": self.kind, "parameters": self.parameters,
            "active_parameters": self.active,
        }  # fmt: skip


@dataclass(frozen=True)
class ModelList:
    """Every named model."""

    entries: tuple[ModelEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``models list``."""
        return envelope("models", {"models": [entry.to_dict() for entry in self.entries]})


@dataclass(frozen=True)
class TypeList:
    """Every type of config.json that is read."""

    names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``models types``."""
        return envelope("model-types", {"types": list(self.names)})


def list_types() -> TypeList:
    """transformers' model types and diffusers' classes that have a reader."""
    from gpuhours.architecture.hugging_face.config import readers

    return TypeList(tuple(sorted(readers(), key=str.lower)))


@dataclass(frozen=True)
class Part:
    """One part of a model: its parameters and its FLOPs per sample."""

    name: str
    layers: float
    tokens: float
    parameters: float
    trainable: str
    flops: PartFlops

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "name": self.name, "layers": self.layers, "tokens": self.tokens, "parameters": self.parameters,
            "trainable": self.trainable, "forward_flops": float(self.flops.forward),
            "training_flops": float(self.flops.training),
        }  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """One model, its parts and its FLOPs per sample under every convention."""

    name: str
    title: str
    spec: Spec
    source: str
    published: catalogue.NamedModel | None
    parameters: float
    active: float
    trainable: float
    tokens: float
    parts: tuple[Part, ...]
    flops: dict[str, float]
    assumptions: tuple[Assumption, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``models show``."""
        count = self.published
        known = None if count is None or count.parameters is None else count.parameters
        content = {
            "name": self.name, "title": self.title, "source": self.source,
            "shape": self.spec.model_dump(mode="json", exclude_defaults=True),
            "parameters": self.parameters, "active_parameters": self.active,
            "trainable_parameters": self.trainable,
            "published_parameters": {
                "value": known, "within": count.within if count else None,
                "source": count.counted if count else "",
            },
            "tokens_per_sample": self.tokens, "training_flops_per_sample": self.flops,
            "parts": [part.to_dict() for part in self.parts],
            "assumptions": [one.to_dict() for one in self.assumptions],
        }  # fmt: skip
        return envelope("models", content)


def sample(
    seq_len: str | None = None,
    frames: str | None = None,
    resolution: str | None = None,
    text_tokens: str | None = None,
) -> Data:
    """One sample from a user's options; by default an image or 2,048 tokens."""
    said = {"seq_len": seq_len, "frames": frames, "resolution": resolution, "text_tokens": text_tokens}
    given = {key: value for key, value in said.items() if value is not None}
    length = {} if frames or text_tokens else {"seq_len": ONE_PICTURE.seq_len}
    return validated(Data, Source("options", {"frames": ONE_PICTURE.frames, **length, **given}))


def list_models() -> ModelList:
    """Every named model with its size, smallest first within a kind."""
    models = []
    for name in catalogue.names():
        known, model = catalogue.named(name), read_model(name).build(ONE_PICTURE)
        sizes = float(model.parameters), float(model.active_parameters)
        models.append(ModelEntry(name, known.title, known.kind, *sizes))
    return ModelList(tuple(sorted(models, key=lambda entry: (entry.kind, entry.parameters))))


def show_model(value: str, data: Data = ONE_PICTURE) -> Summary:
    """Describe a model, given by name, ``config.json`` or size (``30B``), for one sample of ``data``."""
    spec = read_model(value)
    known = catalogue.named(spec.name) if spec.name in catalogue.names() else None
    model = spec.build(data)
    parts = tuple(
        Part(
            part.name, float(getattr(part, "layers", 1)), float(part.tokens), float(part.parameters),
            part.trainable.value, part_flops(part),
        )
        for part in model.parts
    )  # fmt: skip
    return Summary(
        value, known.title if known else value, spec, known.source if known else "", known,
        float(model.parameters), float(model.active_parameters), float(model.trainable_parameters),
        float(spec.tokens_per_sample(data) or 0), parts,
        {name: float(model_flops(model, convention=name)) for name in CONVENTIONS}, (*spec.not_understood, *spec.assumptions(data)),
    )  # fmt: skip
