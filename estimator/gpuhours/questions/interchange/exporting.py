"""``export``: write a run as configuration of a training framework, with an assumed layout if the run states none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gpuhours.inputs.errors import EstimateError, nearest
from gpuhours.inputs.records import dataclass
from gpuhours.questions.envelope import envelope
from gpuhours.questions.estimating.estimating import estimate
from gpuhours.questions.interchange.files import CODES, opened_text
from gpuhours.questions.interchange.keys import ACCUMULATION, NODES, PER_NODE
from gpuhours.run.spec import Run

UNSAID = frozenset({
    "layout.data", "layout.vision", "layout.vision_gpus", "layout.sequence_parallel", "layout.schedule", "layout.sequence_method",
    "training.convention", "hardware.gpus", "hardware.accelerator", "software",
})  # fmt: skip
"""Keys that are derived from others, only used for estimates, or implied by the file format; never reported as lost."""


@dataclass(frozen=True)
class Exported:
    """The text of an exported file, and the keys of the run that its format cannot express."""

    code: str
    text: str
    not_held: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of ``gpuhours export --json``."""
        return envelope("export", {"code": self.code, "text": self.text, "not_held": list(self.not_held)})


def export(run: Run, code: str) -> Exported:
    """Write a run in the format of ``code``: megatron, torchtitan, deepspeed, accelerate, nemo or axolotl."""
    if code not in CODES:
        hint = nearest(code, CODES) or f"There are {', '.join(CODES)}."
        raise EstimateError(f"Export to {code!r} is not supported.", hint, "--to")
    values = dict(values_of(run))
    text = CODES[code].write(values)
    return Exported(code, text, tuple(_not_held(code, text, values)))


def values_of(run: Run) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) for every key that a file may need, named and spelt as in a run file, including assumed values."""
    resolved = estimate(run).outcome.resolved  # the layout that is printed, fully resolved
    if resolved.layout is None or resolved.gpus is None or resolved.global_batch is None:
        raise EstimateError("The layout cannot be determined.", f"Missing: {', '.join(resolved.missing)}.", "export")
    layout = resolved.layout.replaced(**{
        name: int(value) for name, value in resolved.layout if isinstance(value, np.ndarray | np.generic) and not isinstance(value, bool)
    })  # fmt: skip
    layout = type(layout)(**{name: value for name, value in layout if value is not None})
    default = type(layout)()
    for name, value in layout.model_dump(mode="json", exclude_none=True).items():
        if value != getattr(default, name) or name in (
            "tensor",
            "pipeline",
            "context",
            "microbatch",
            "sharding",
            "recompute",
            "schedule",
            "sequence_method",
        ):
            yield f"layout.{name}", value
    gpus = int(resolved.gpus)
    per_node = min(gpus, resolved.cluster.gpus_per_node) if resolved.cluster is not None else gpus
    yield from (("hardware.gpus", gpus), (NODES, -(-gpus // per_node)), (PER_NODE, per_node))
    batch, ranks = int(resolved.global_batch), gpus // int(layout.tensor * layout.pipeline * layout.context)
    yield from (("training.global_batch", batch), (ACCUMULATION, max(1, batch // (ranks * layout.microbatch))))
    yield "training.optimizer", run.training.optimizer
    yield from (("training.dtype", run.training.dtype), ("software", resolved.software.name))
    if run.training.state == "pure":  # the others are what frameworks do unless told
        yield "training.state", "pure"
    for name in ("seq_len", "steps", "samples", "epochs", "packed"):
        value = getattr(resolved.data, name)
        if value:
            yield f"data.{name}", int(value) if float(value).is_integer() and name != "packed" else value
    yield from _shape(run)


def _shape(run: Run) -> Iterator[tuple[str, Any]]:
    """The fields of a decoder's shape; for other kinds of models only the name."""
    from gpuhours.architecture.catalogue import names
    from gpuhours.architecture.decoder import Decoder

    model = run.model
    if model is None:
        return
    if model.name in names():
        yield "model.name", model.name
    shape = getattr(model, "shape", None)
    if not isinstance(shape, Decoder):
        return
    for name, value in shape.model_dump(mode="json").items():
        if isinstance(value, Mapping):
            yield from ((f"model.{name}.{inner}", one) for inner, one in value.items() if one is not None)
        elif value is not None and value != () and name not in ("name", "kind"):
            yield f"model.{name}", value
    yield "model.ffn_hidden", int(shape.ffn_width)


def _not_held(code: str, text: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Keys whose values are lost or changed when the file is read back."""
    from gpuhours.questions.interchange.importing import reread

    again = reread(code, opened_text(code, text))
    for key, value in values.items():
        followed = key in UNSAID or key.startswith("model.") or key in (NODES, PER_NODE, ACCUMULATION)
        followed |= key == "training.global_batch" and {ACCUMULATION, "layout.microbatch"} <= again.keys()
        if not followed and again.get(key, _default(key)) != value:
            yield f"{key} = {value}"


def _default(key: str) -> Any:
    return {
        "training.optimizer": "adamw",
        "layout.tensor": 1,
        "layout.pipeline": 1,
        "layout.context": 1,
        "layout.microbatch": 1,
        "layout.sharding": "none",
        "layout.recompute": "none",
    }.get(key)
