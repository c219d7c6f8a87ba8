"""``gpuhours import`` and ``gpuhours export``: read a run from another framework's files, and write a run as such files."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gpuhours_cli import completion
from gpuhours_cli.output import Force, Json, Quiet, delivered, unused
from gpuhours_cli.root import command
from gpuhours_cli.shortcuts import RunFile, Settings, described, takes_shortcuts

IMPORT = "Example: gpuhours import train_gpt.sh config.json --gpu h100-sxm-80gb -o run.yaml"
EXPORT = "Example: gpuhours export run.yaml --to megatron -o train.sh"
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.")]


@command("import", epilog=IMPORT)
@takes_shortcuts
def import_run(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Scripts and configurations that belong together.", show_default=False),
    ],
    output: Output = None,
    force: Force = False,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Read layout, precision, batch, recomputation and model shape, and list what was not understood."""
    from gpuhours.questions.interchange.importing import import_files
    from gpuhours.run.overlays import setting
    from gpuhours.run.shortcuts import keys

    unused(output, force)
    over = keys(shortcuts, {"model": "the files'"}) | dict(setting(text) for text in settings or [])
    imported = import_files(files, over)
    delivered(imported, imported.yaml, output, as_json=as_json, quiet=quiet)


@command("export", epilog=EXPORT)
@takes_shortcuts
def export_run(
    run: RunFile = None,
    to: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            autocompletion=completion.offered(completion.codes),
            help="megatron, torchtitan, deepspeed, accelerate, nemo, nanotron, axolotl, llama-factory or trainer.",
        ),
    ] = "megatron",
    output: Output = None,
    force: Force = False,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    *,
    shortcuts: Mapping[str, str],
) -> None:
    """Write a run in the format of a training framework; what that format cannot express is listed on stderr."""
    from gpuhours.questions.interchange.exporting import export

    unused(output, force)
    exported = export(described(run, shortcuts, settings, EXPORT), to)
    if exported.not_held and not (as_json or quiet):
        sys.stderr.write(f"not expressible in this format: {'; '.join(exported.not_held)}\n")
    delivered(exported, exported.text, output, as_json=as_json, quiet=quiet)
