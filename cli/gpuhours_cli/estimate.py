"""``gpuhours estimate``: one run, one screen."""

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gpuhours_cli.output import Json, Quiet, emit, shown
from gpuhours_cli.root import app

EXAMPLE = "Example: gpuhours estimate --params 30B --tokens 500B --gpu h100-sxm-80gb --gpus 512 --tensor 4 --pipeline 8"


def shortcut(key: str, text: str, *names: str) -> Any:
    """An option that sets one key of the run; its help says which."""
    return typer.Option(*names, help=f"{text}  [{key}]", show_default=False, rich_help_panel="Shortcuts")


@app.command(short_help="What one run costs, how long it takes, what limits it.", epilog=EXAMPLE)
def estimate(
    run: Annotated[
        Path | None, typer.Argument(help="The run as YAML; see `gpuhours schema run`.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key of the run; may be repeated.")
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="RESULT", help="Equation, inputs and sources of one result.")
    ] = None,
    params: Annotated[str | None, shortcut("model.params", "Parameters: 30B.")] = None,
    model: Annotated[str | None, shortcut("model", "A known model, or a config.json.")] = None,
    vision: Annotated[str | None, shortcut("model.vision.name", "A vision encoder in front.")] = None,
    tokens: Annotated[str | None, shortcut("data.tokens", "Tokens to train on: 500B.")] = None,
    samples: Annotated[str | None, shortcut("data.dataset_samples", "Samples of the data set: 150M.")] = None,
    epochs: Annotated[str | None, shortcut("data.epochs", "Passes over the data.")] = None,
    steps: Annotated[str | None, shortcut("data.steps", "Optimiser steps.")] = None,
    batch: Annotated[str | None, shortcut("training.global_batch", "Samples per step.")] = None,
    seq_len: Annotated[str | None, shortcut("data.seq_len", "Tokens per sample.")] = None,
    frames: Annotated[str | None, shortcut("data.frames", "Frames per clip.")] = None,
    tokens_per_frame: Annotated[str | None, shortcut("data.tokens_per_frame", "Tokens per frame.")] = None,
    gpu: Annotated[str | None, shortcut("hardware.accelerator", "The accelerator.")] = None,
    gpus: Annotated[str | None, shortcut("hardware.gpus", "How many.")] = None,
    precision: Annotated[str | None, shortcut("training.dtype", "bf16, fp8, ...")] = None,
    tensor: Annotated[str | None, shortcut("layout.tensor", "Tensor-parallel degree.")] = None,
    pipeline: Annotated[str | None, shortcut("layout.pipeline", "Pipeline stages.")] = None,
    context: Annotated[str | None, shortcut("layout.context", "Context-parallel degree.")] = None,
    expert: Annotated[str | None, shortcut("layout.expert", "Expert-parallel degree.")] = None,
    microbatch: Annotated[str | None, shortcut("layout.microbatch", "Samples per rank and forward pass.")] = None,
    sharding: Annotated[str | None, shortcut("layout.sharding", "none, zero1, zero2, zero3.")] = None,
    recompute: Annotated[str | None, shortcut("layout.recompute", "none, selective, full.")] = None,
    software: Annotated[str | None, shortcut("software", "The training stack.")] = None,
    mfu: Annotated[str | None, shortcut("known.mfu", "Solve from this MFU: 44.5%.")] = None,
    gpu_hours: Annotated[str | None, shortcut("known.gpu_hours", "Solve from these GPU-hours: 1.8M.")] = None,
    days: Annotated[str | None, shortcut("known.days", "Solve from this duration in days.")] = None,
    year: Annotated[str | None, shortcut("year", "When it runs: what is usual then is assumed.")] = None,
    best: Annotated[bool, typer.Option("--best", help="A tuned run on the best stack, not a typical one.")] = False,
    budget: Annotated[
        str | None,
        typer.Option(metavar="MONEY", help='What it may cost: "2M USD"; exit code 1 where that is unlikely.'),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="When it must be done: 2027-03-01; exit code 1 where that is unlikely."),
    ] = None,
    price: Annotated[str | None, shortcut("cost.price", "Your price: 2.5 USD/hour.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """GPU-hours, MFU, wall-clock, memory, money, energy and carbon of one training run."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.estimating.estimating import estimate as work_out
    from gpuhours.questions.estimating.estimating import with_chances
    from gpuhours_cli.render.estimate import answer, screen

    given: dict[str, Any] = {
        "model": model if params is None else {"params": params}, "model.vision.name": vision,
        "data.tokens": tokens, "data.dataset_samples": samples, "data.epochs": epochs, "data.steps": steps,
        "training.global_batch": batch, "data.seq_len": seq_len, "data.frames": frames,
        "data.tokens_per_frame": tokens_per_frame, "hardware.accelerator": gpu, "hardware.gpus": gpus,
        "training.dtype": precision, "layout.tensor": tensor, "layout.pipeline": pipeline,
        "layout.context": context, "layout.expert": expert, "layout.microbatch": microbatch,
        "layout.sharding": sharding, "layout.recompute": recompute, "software": software,
        "known.mfu": mfu, "known.gpu_hours": gpu_hours, "known.days": days, "cost.price": price, "year": year,
    }  # fmt: skip
    if params is not None and model is not None:
        raise EstimateError(
            f"Both --params {params} and --model {model} are given.", "Keep the one that describes the model."
        )
    deadline, money = day_of(by), money_of(budget)
    if deadline is not None and year is None:
        given["year"] = deadline.year
    described = describe(run, given, settings or [])
    result = work_out(described, best=best)
    if deadline is not None or money is not None:
        result = with_chances(result, deadline, money)
    if explain is not None and not as_json:
        from gpuhours_cli.render.explain import explanation

        shown(explanation(result, explain))
    else:
        emit(result, lambda: screen(result), as_json=as_json, answer=(lambda: answer(result)) if quiet else None)
    if result.fits is False or (result.chances is not None and not result.chances.likely):
        raise typer.Exit(1)


def day_of(text: str | None) -> datetime.date | None:
    """``--by 2027-03-01``."""
    from gpuhours.inputs.errors import EstimateError

    if text is None:
        return None
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise EstimateError(f"{text!r} is no day.", "Year-month-day: 2027-03-01.", "--by") from None
    if day <= datetime.date.today():
        raise EstimateError(f"{text} is past.", "A run that starts today is to be done by a later day.", "--by")
    return day


def money_of(text: str | None) -> float | None:
    """``--budget "2M USD"``."""
    from gpuhours.inputs.errors import EstimateError, UnitError
    from gpuhours.inputs.units import parse

    if text is None:
        return None
    try:
        found = float(parse(text, "USD"))
    except UnitError as error:
        raise EstimateError(str(error), 'For example --budget "50k USD".', "--budget") from None
    if found <= 0:
        raise EstimateError(f"{text!r} buys nothing.", 'For example --budget "50k USD".', "--budget")
    return found


def describe(path: Path | None, given: dict[str, Any], settings: list[str]) -> Any:
    """The run of a file, with the shortcuts and then the ``--set`` keys put over it."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.run.spec import from_dict, load, setting

    keys = {key: value for key, value in given.items() if value is not None}
    keys |= dict(setting(text) for text in settings)
    if path is None and not keys:
        raise EstimateError("Nothing to estimate.", EXAMPLE)
    return load(path, keys) if path is not None else from_dict({}, settings=keys)
