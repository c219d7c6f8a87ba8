"""``gpuhours init``: a run file to begin with."""

from collections.abc import Mapping
from typing import Annotated

import typer

from gpuhours_cli.interchange import Force, Output, save
from gpuhours_cli.output import Json, written
from gpuhours_cli.root import app
from gpuhours_cli.shortcuts import Settings, takes_shortcuts

EXAMPLE = "Example: gpuhours init --model llama-3-8b --tokens 1T --gpu h100-sxm-80gb -o run.yaml, or gpuhours init --example lora"


@app.command(short_help="A commented run file to begin with.", epilog=EXAMPLE)
@takes_shortcuts
def init(
    example: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="lora, mixture, video-fine-tune, or a published document's run; `list` names all."
        ),
    ] = None,
    output: Output = None,
    force: Force = False,
    settings: Settings = None,
    as_json: Json = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Write a run file: what the options say, each key explained, the usual others behind a #; or an example."""
    import json

    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.envelope import envelope
    from gpuhours.questions.starting import commented, example_names
    from gpuhours.questions.starting import example as example_file
    from gpuhours.run.spec import setting

    if example is not None and (shortcuts or settings):
        raise EstimateError("An example is as it is.", "Write it with -o, then change the file.", "--example")
    if example == "list":
        text = "".join(f"{name}\n" for name in example_names())
    elif example is not None:
        text = example_file(example)
    else:
        text = commented(shortcuts, dict(setting(one) for one in settings or [])) + "\n"
    save(text, output, force)
    if as_json:
        written(json.dumps(envelope("init", {"text": text, "examples": list(example_names())}), indent=2) + "\n")
    else:
        written(text if output is None else f"written to {output}\n")
