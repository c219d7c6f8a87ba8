"""``gpuhours init``: write a run file to start from."""

from collections.abc import Mapping
from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.interchange import Output
from gpuhours_cli.output import Force, Json, saved, unused, written
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import Settings, takes_shortcuts

EXAMPLE = "Example: gpuhours init --model llama-3-8b --tokens 1T --gpu h100-sxm-80gb -o run.yaml, or gpuhours init --example lora"


@command("init", epilog=EXAMPLE)
@takes_shortcuts
def init(
    example: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=completion.offered(completion.examples),
            help="lora, mixture, video-fine-tune, or the run of a published document; `list` shows all.",
        ),
    ] = None,
    ask: Annotated[
        bool,
        typer.Option("--ask", help="Ask for model, data and machine, one line each; an empty answer leaves it open."),
    ] = False,
    output: Output = None,
    force: Force = False,
    settings: Settings = None,
    as_json: Json = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Write a run file from the options, with every key explained and other common keys commented out; or an example."""
    import json

    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.envelope import envelope
    from gpuhours.questions.starting import commented, example_names
    from gpuhours.questions.starting import example as example_file
    from gpuhours.run.overlays import setting

    unused(output, force)
    if example is not None and (shortcuts or settings or ask):
        raise EstimateError("An example takes no options.", "Write it with -o, then edit the file.", "--example")
    if example == "list":
        text = "".join(f"{name}\n" for name in example_names())
    elif example is not None:
        text = example_file(example)
    else:
        shortcuts = {**answers(), **shortcuts} if ask else shortcuts
        text = commented(shortcuts, dict(setting(one) for one in settings or [])) + "\n"
    if output is not None:
        saved(text, output)
    if as_json:
        written(json.dumps(envelope("init", {"text": text, "examples": list(example_names())}), indent=2) + "\n")
    else:
        written(text if output is None else f"written to {output}\n")


def answers() -> dict[str, str]:
    """Ask each question on stderr. An invalid answer is asked again on a terminal; in a pipe it raises ``EstimateError``."""
    import sys

    from gpuhours.inputs.errors import EstimateError
    from gpuhours.questions.starting import ASKED, commented

    given: dict[str, str] = {}
    for name, question in ASKED.items():
        while True:
            sys.stderr.write(f"{question}? ")
            sys.stderr.flush()
            line = sys.stdin.readline()
            answer = line.strip()
            if not answer:
                break
            try:
                commented({**given, name: answer}, {})
            except EstimateError as error:
                if not sys.stdin.isatty():
                    raise
                sys.stderr.write(f"{error}\n")
            else:
                given[name] = answer
                break
    return given
