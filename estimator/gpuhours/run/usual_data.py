"""The data block of a run with what it leaves open filled in: frames, and the length of a sample."""

from __future__ import annotations

import numpy as np

from gpuhours.architecture.catalogue import known_as, named, names
from gpuhours.data import Data
from gpuhours.inputs.assumptions import Assumption
from gpuhours.run.spec import Run
from gpuhours.run.typical import this_year, typical


def completed(run: Run, notes: list[Assumption], bases: dict[str, str]) -> Data:
    """The data block with frames and sequence length filled in. A text model without a sequence length gets the typical one, at most its
    number of learned positions; a sample of an image model is one image."""
    if (usual := usual_frames(run)) is not None:
        frames, reason = usual
        notes.append(Assumption("data.frames", frames, "", f"no frames are stated: {reason}"))
        bases["data.frames"] = "assumed"
        run = run.replaced("data", run.data.model_copy(update={"frames": frames}))
    if run.model is None or run.model.tokens_per_sample(run.data) is not None:
        return run.data
    if run.model.padded_to is not None:
        notes.append(
            Assumption("data.seq_len", run.model.padded_to, "token", "the model pads every sample to this length")
        )
        bases["data.seq_len"] = "assumed"
        return run.data.model_copy(update={"seq_len": run.model.padded_to})
    counted = run.data.in_samples
    year = this_year() if run.year is None else run.year
    partly = getattr(run.model, "trainable", None) == "lora"
    rule = typical().sequence(year, getattr(run.model, "kind", ""), counted=counted, adapters=partly)
    most = getattr(run.model, "max_positions", None)
    length = rule.value if most is None else min(rule.value, int(np.min(most)))
    reason = "no sequence length is stated: the usual one " + (
        "of one example" if counted else "for adapters" if rule.adapters else "for language models of the year"
    )
    notes.append(Assumption("data.seq_len", length, "token", reason, rule.source))
    bases["data.seq_len"] = "assumed"
    return run.data.model_copy(update={"seq_len": length})


def usual_frames(run: Run) -> tuple[int, str] | None:
    """Frames per sample, and the reason, if a run states none: one for an image model, those of the recipe of a named model; otherwise
    None."""
    if run.model is None or run.data.frames is not None:
        return None
    if run.model.of_pictures:
        return 1, "a sample is one image"
    recipe = named(run.model.name).frames if known_as(run.model.name) in names() else None
    return None if recipe is None else (recipe, f"those of the recipe of {run.model.name}")
