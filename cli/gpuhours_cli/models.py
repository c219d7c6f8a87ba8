"""``gpuhours models``: the named architectures, and the parts of one of them."""

from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Json, Quiet, emit
from gpuhours_cli.root import COMMANDS, app

models = typer.Typer(
    help="Architectures: exact parameter counts, parts, FLOPs.",
    no_args_is_help=True,
    epilog="Example: gpuhours models show deepseek-v3",
)
app.add_typer(models, name="models", short_help=COMMANDS["models"].line)


@models.command("list", epilog="Example: gpuhours models list --json")
def list_named(as_json: Json = False, quiet: Quiet = False) -> None:
    """List all published models."""
    from gpuhours.questions.listing.models import list_models
    from gpuhours_cli.render.models import list_screen

    listed = list_models()
    names = "\n".join(entry.name for entry in listed.entries)
    emit(listed, lambda: list_screen(listed), as_json=as_json, answer=(lambda: names) if quiet else None)


@models.command("types", epilog="Example: gpuhours models types")
def list_types(as_json: Json = False) -> None:
    """List the types of config.json that are read: transformers' model_type, diffusers' _class_name."""
    from gpuhours.questions.listing.models import list_types
    from gpuhours_cli.output import written

    types = list_types()
    emit(types, lambda: "", as_json=True) if as_json else written("\n".join(types.names) + "\n")


@models.command(epilog="Example: gpuhours models show longvila-7b --frames 256 --text-tokens 372")
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A name, a Hugging Face config.json, or a size such as 30B.",
            autocompletion=completion.offered(completion.models),
        ),
    ],
    seq_len: Annotated[str | None, typer.Option(help="Tokens per sample (default 2,048).")] = None,
    frames: Annotated[str | None, typer.Option(help="Frames per clip (default 1).")] = None,
    resolution: Annotated[str | None, typer.Option(help="Pixels per side; by default the model's own.")] = None,
    text_tokens: Annotated[str | None, typer.Option(help="Text tokens per clip.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show the parts of one model: parameters of each, and its FLOPs per training sample."""
    from gpuhours.questions.listing.models import sample, show_model
    from gpuhours_cli.render.models import show_screen
    from gpuhours_cli.render.numbers import exact

    model = show_model(name, sample(seq_len, frames, resolution, text_tokens))
    answer = exact(model.parameters)
    emit(model, lambda: show_screen(model), as_json=as_json, answer=(lambda: answer) if quiet else None)
