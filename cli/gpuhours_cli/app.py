"""The commands of gpuhours, and the one place where errors become exit codes.

Command modules import only typer at the top: the estimator and rich load when a command runs, so that
``gpuhours --help`` starts at once.
"""

from __future__ import annotations

import sys

import typer

app = typer.Typer(
    name="gpuhours",
    help="What a training run costs: GPU-hours, MFU, time, memory, money, energy and carbon.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich would double the time it takes to appear
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run a command: 0 fine, 1 the answer is no, 2 bad input."""
    from gpuhours.errors import Contradiction, EstimateError

    try:
        app()
    except EstimateError as error:
        lines = [line for line in (error.where, error.problem, error.hint) if line]
        sys.stderr.write("error: " + "\n  ".join(lines) + "\n")
        raise SystemExit(1 if isinstance(error, Contradiction) else 2) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None


from gpuhours_cli import estimate, hardware, reproduce, validate  # noqa: E402, F401  each module registers its command
