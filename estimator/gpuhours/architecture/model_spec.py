"""The ``model:`` block of a run: a name, a configuration file, a shape, or a combination of models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from gpuhours.architecture.catalogue import fields
from gpuhours.architecture.spec import Spec
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.unions import ByKind

KEYS = {
    "text": "contrastive",
    "language": "video-language",
    "vision": "video-language",
    "params": "standard",
    "mask_ratio": "masked-autoencoder",
    "student": "self-distillation",
    "encoder_layers": "encoder-decoder",
    "double_layers": "two-stream",
    "time_width": "single-stream",
    "latent_channels": "diffusion",
    "stage_layers": "staged-vision",
    "position_kernel": "sound",
    "weight_sets": "shared-layers",
    "patch": "vision",
}
"""Keys specific to one kind of model."""
KINDS = tuple(dict.fromkeys(("decoder", *KEYS.values(), "standard-vision")))
HOMES = {
    "decoder": "gpuhours.architecture.decoder:Decoder",
    "standard": "gpuhours.architecture.standard:StandardShape",
    "vision": "gpuhours.architecture.vision:VisionEncoder",
    "standard-vision": "gpuhours.architecture.vision:StandardVision",
    "video-language": "gpuhours.architecture.video_language:VideoLanguage",
    "masked-autoencoder": "gpuhours.architecture.masked:MaskedAutoencoder",
    "self-distillation": "gpuhours.architecture.self_distillation:SelfDistillation",
    "contrastive": "gpuhours.architecture.contrastive:Contrastive",
    "diffusion": "gpuhours.architecture.diffusion:Diffusion",
    "two-stream": "gpuhours.architecture.two_stream:TwoStream",
    "single-stream": "gpuhours.architecture.single_stream:SingleStream",
    "encoder-decoder": "gpuhours.architecture.encoder_decoder:EncoderDecoder",
    "staged-vision": "gpuhours.architecture.staged_vision:StagedVision",
    "sound": "gpuhours.architecture.sound:SoundEncoder",
    "shared-layers": "gpuhours.architecture.shared_layers:SharedLayers",
}
"""The module and class of each kind of model."""


def kind(value: Any) -> str:
    """The kind of a ``model:`` block: its ``kind`` if given, otherwise inferred from keys that only one kind has."""
    if not isinstance(value, Mapping):
        return str(getattr(value, "kind", "decoder"))
    for key, meant in KEYS.items():
        if key in value:
            return str(value.get("kind", meant))
    return str(value.get("kind", "decoder"))


def known_kind(value: Any) -> Any:
    """The block unchanged; raises ``ValueError`` for an unknown kind."""
    if not isinstance(value, Mapping | Spec):
        raise ValueError("must be a model's name, a config.json, or a mapping such as {params: 30B}")
    asked = kind(value)
    if asked not in KINDS:
        raise ValueError(f"{asked!r} is not a kind of model; known kinds: {', '.join(KINDS)}")
    return value


ModelSpec: TypeAlias = Annotated[Spec, ByKind(HOMES, kind), BeforeValidator(known_kind), BeforeValidator(fields)]
"""Any supported architecture, as the type of a run's ``model:`` block."""


def read_model(value: Any) -> Spec:
    """The architecture for a ``model:`` block: ``read_model("llama-3-8b")``, ``read_model({"params": "30B"})``."""
    try:
        return _adapter().validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in ("model", *first["loc"]) if not str(part).startswith("["))
        raise EstimateError(first["msg"].removeprefix("Value error, "), "", key) from None


@functools.cache
def _adapter() -> TypeAdapter[Spec]:
    return TypeAdapter(ModelSpec)
