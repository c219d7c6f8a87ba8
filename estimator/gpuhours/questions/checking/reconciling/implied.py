"""Quantities that a document does not state: the values that its claims imply, and those that they do not determine."""

from __future__ import annotations

from collections.abc import Sequence

from gpuhours.questions.checking.claim import Assumed, Document
from gpuhours.questions.checking.outcome import Implied
from gpuhours.questions.checking.reconciling.reconcile import Fit, Measurement, reconcile
from gpuhours.questions.checking.reconciling.scenarios import scenario
from gpuhours.questions.checking.setting import Setting
from gpuhours.run.identities import Identity, Sum

ASKED = (
    "gpus", "nodes", "gpu_hours", "wall_clock", "tokens", "dataset_samples", "samples", "steps", "epochs", "step_time",
    "global_batch_tokens",
    "tokens_per_sample", "tokens_per_frame", "data_parallel", "microbatch", "model_flops", "flops_per_second_per_gpu", "mfu", "hfu",
    "tokens_per_second", "tokens_per_second_per_gpu", "checkpoint_time", "energy", "gpu_power", "carbon", "carbon_intensity", "cost",
    "price", "dataset_tokens", "visual_tokens", "language_parameters", "vision_parameters", "goodput", "clip_seconds",
    "gpus_per_node",
)  # fmt: skip
ALWAYS = frozenset({"gpus", "gpu_hours", "wall_clock", "tokens", "steps", "epochs", "step_time", "model_flops", "mfu"})


def implied_values(document: Document, fit: Fit, run: Setting) -> list[Implied]:
    """Return the quantities that the document does not state: their values if determined, else (main quantities only) "not determined"."""
    implied = []
    stated = {claim.quantity for claim in document.claims}
    for name in ASKED:
        if name in stated:
            continue
        value = fit.value(name)
        wide = value is not None and value[2] > 50 * value[1]
        if value is not None and not wide and not _only_assumed(name, run):
            implied.append(Implied(name, *value))
        elif name in ALWAYS:
            implied.append(Implied(name, None, None, None, None, "not determined by the text"))
    return implied


def _only_assumed(name: str, run: Setting) -> bool:
    """Whether a value rests only on an assumption: goodput, unless the text gives steps and step time."""
    return name == "goodput" and not {"steps", "step_time"} <= run.claimed


def under_scenario(
    document: Document,
    run: Setting,
    measurements: Sequence[Measurement],
    equations: Sequence[Identity | Sum],
    extra: Sequence[Assumed],
    implied: Sequence[Implied],
) -> list[Implied]:
    """Return the values that become determined if the usual case is assumed for what the text leaves open (see ``scenarios``)."""
    usual = scenario(document, run)
    if usual is None:
        return []
    fit = reconcile(measurements, [*equations, *usual.identities], [*extra, *usual.assumptions])
    why = "if " + "; ".join(a.reason for a in usual.assumptions)
    known = {entry.quantity for entry in implied if entry.value is not None} | {a.quantity for a in usual.assumptions}
    followed = []
    for name in ("tokens", "visual_tokens", "steps", "step_time", "model_flops", "mfu", "checkpoint_time"):
        value = fit.value(name)
        if value is not None and name not in known and document.claim(name) is None:
            followed.append(Implied(name, *value, "assumed", why))
    return followed


def needed_assumptions(extra: Sequence[Assumed], fit: Fit, names: set[str]) -> tuple[Assumed, ...]:
    """Return the assumptions on which any value in the output depends."""
    rows = [j for j, name in enumerate(fit.quantities) if name in names and fit.determined[j]]
    offset = fit.gain.shape[1] - len(extra)
    return tuple(
        assumption for k, assumption in enumerate(extra)
        if any(abs(fit.gain[j, offset + k]) > 0.1 for j in rows) and assumption.quantity not in ("context", "tensor", "pipeline")
    )  # fmt: skip
