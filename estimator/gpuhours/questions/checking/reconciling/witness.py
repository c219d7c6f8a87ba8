"""An independent witness: the MFU of the stated model, machine and layout, predicted from the operators.

It is used only if the text says enough for a prediction (size of a dense decoder, GPUs with a profile, sequence length, batch and a
layout), and counts with the uncertainty of its band. Published averages include data loading, evaluation and stops, which the predicted
step does not, so the lower end of the band is reduced by a quarter.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.checking.accelerators import stated_accelerator
from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.quantities import shown
from gpuhours.questions.checking.setting import FULL, setting

RUN_BELOW_STEP = 0.75
DEGREES = ("tensor", "pipeline", "context")
SHARDINGS = {"zero1": "zero1", "zero2": "zero2", "zero3": "zero3", "ddp": "none"}
STACKS = {"Megatron-LM": "megatron-core", "Megatron-Core": "megatron-core", "Megatron-DeepSpeed": "megatron-deepspeed"}


def predicted_mfu(document: Document) -> tuple[float, float, float] | None:
    """Predict the MFU and its 80 % band for the document's own layout; None if it says too little or the run cannot be estimated."""
    described = described_run(document)
    if described is None:
        return None
    from gpuhours.questions.estimating.estimating import estimate
    from gpuhours.run.spec import from_dict

    try:
        mfu = estimate(from_dict(described, document.name), past=True).results.get("mfu")
    except EstimateError:
        return None
    if mfu is None or mfu.value is None or mfu.low is None or mfu.high is None:
        return None
    return float(mfu.value), RUN_BELOW_STEP * float(mfu.low), float(mfu.high)


def described_run(document: Document) -> dict[str, Any] | None:
    """Return the run file that corresponds to a document, or None if its claims and facts are not enough for a prediction."""
    accelerator = stated_accelerator(document)
    run = setting(document, accelerator)
    stated = {claim.quantity: claim.value for claim in document.claims if not claim.scope}
    batch = stated.get("global_batch")
    if batch is None and {"global_batch_tokens", "seq_len"} <= stated.keys():
        batch = stated["global_batch_tokens"] / stated["seq_len"]
    sharding = SHARDINGS.get(run.sharding or "")
    laid_out = bool(stated.keys() & set(DEGREES)) or sharding is not None
    plain = run.flops_per_parameter == FULL and not (run.video or run.masked or run.experts or run.frozen)
    if accelerator is None or accelerator.profile is None or batch is None or not (plain and laid_out):
        return None
    if not {"parameters", "gpus", "seq_len"} <= stated.keys():
        return None
    layout: dict[str, Any] = {degree: int(stated[degree]) for degree in DEGREES if degree in stated}
    if sharding is not None:
        layout["sharding"] = sharding
    if "microbatch" in stated:
        layout["microbatch"] = int(stated["microbatch"])
    if run.recompute is not None:
        layout["recompute"] = run.recompute
    described: dict[str, Any] = {
        "model": {"params": stated["parameters"]},
        "hardware": {"accelerator": accelerator.profile, "gpus": int(stated["gpus"])},
        "data": {"seq_len": int(stated["seq_len"])},
        "training": {"global_batch": round(batch)},
        "layout": layout,
    }
    software = STACKS.get(document.fact("software") or "")
    return described | ({"software": software} if software else {})


def usual_prediction(document: Document, accused: Collection[str] = ()) -> str:
    """Return, as a sentence, the MFU and wall-clock time predicted for a usual layout, for comparison with the text's figures.

    It never contradicts the text, as the layout is our assumption. Empty if size, tokens, GPUs or the card's profile are missing, if the
    run is not a plain dense decoder trained in full, or if it cannot be estimated; also if one of these is ``accused`` of being wrong.
    """
    accelerator = stated_accelerator(document)
    run = setting(document, accelerator)
    stated = {claim.quantity: claim.value for claim in document.claims if not claim.scope}
    plain = run.flops_per_parameter == FULL and not (run.video or run.masked or run.experts or run.frozen)
    if (
        accelerator is None
        or accelerator.profile is None
        or not plain
        or not {"parameters", "tokens", "gpus"} <= stated.keys() - set(accused)
    ):
        return ""
    from gpuhours.questions.estimating.estimating import estimate
    from gpuhours.run.spec import from_dict

    described: dict[str, Any] = {
        "model": {"params": stated["parameters"]},
        "hardware": {"accelerator": accelerator.profile, "gpus": int(stated["gpus"])},
        "data": {"tokens": stated["tokens"]},
    }
    try:
        results = estimate(from_dict(described, document.name), past=True).results
    except EstimateError:
        return ""
    said = []
    for name, title in (("mfu", "MFU"), ("wall_clock", "of wall-clock")):
        result = results.get(name)
        if result is None or result.low is None or result.high is None or result.value is None:
            continue
        low, high = float(result.low), float(result.high)
        low, high = (
            (RUN_BELOW_STEP * low, high)
            if name == "mfu"
            else (low, high / RUN_BELOW_STEP)
            if name == "wall_clock"
            else (low, high)
        )
        text = f"; the text says {shown(name, stated[name])}" if name in stated else ""
        said.append(f"{shown(name, low)} to {shown(name, high)} {title}{text}")
    return "a usual layout predicts " + ", ".join(said) if said else ""
