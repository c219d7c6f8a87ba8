"""``gpuhours plan``: the best layout that fits."""

from typing import Annotated

import typer

from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Asked, Engine, Scheduler, takes_run

EXAMPLE = "Example: gpuhours plan run.yaml --gpus 256..1024*2 --minimise cost"


@command("plan", epilog=EXAMPLE)
@takes_run
def plan(
    *,
    gpus: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Number of GPUs, or several to try: 256,512 or 256..1024*2.")
    ] = None,
    minimise: Annotated[str, typer.Option(metavar="NAME", help="step_time, gpu_hours or cost.")] = "step_time",
    top: Annotated[int, typer.Option(min=1, help="How many layouts to show.")] = 3,
    asked: Asked,
    engine: Engine = "local",
    scheduler: Scheduler = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search all layouts for the fastest or cheapest that fits, and compare it with the run's own; exit code 1 if none fits."""
    from gpuhours.questions.planning import plan as search
    from gpuhours_cli.render.plan import answer, screen
    from gpuhours_cli.render.progress import watching

    base = asked.run(EXAMPLE)
    with watching("cells", quiet=quiet or as_json) as watch:
        best = search(base, gpus=gpus, minimise=minimise, top=top, engine=engine, scheduler=scheduler, watch=watch)
    emit(best, lambda: screen(best), as_json=as_json, answer=(lambda: answer(best)) if quiet else None)
    if not best.fits:
        raise typer.Exit(1)
