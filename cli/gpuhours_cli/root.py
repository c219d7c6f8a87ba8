"""The root of the command line, with which every command is registered.

Command modules import only typer at the top: the estimator and rich load when a command runs, so that
``gpuhours --help`` starts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from gpuhours.run.flags import ELSEWHERE, SHORTCUTS, flag_named, named_once

Run = TypeVar("Run", bound=Callable[..., None])


class Home(NamedTuple):
    """The module of a command and its line of help."""

    module: str
    """Module in this package."""
    line: str
    """Its line in the list of commands."""


COMMANDS: Mapping[str, Home] = {
    "calibrate": Home("calibrate", "Learn from your own steps: which stack they match, and a narrower range."),
    "check": Home("check", "Test a paper's figures against each other."),
    "ci": Home("ci", "What a pull request changes in cost: a comment, and a budget gate."),
    "compare": Home("compare", "Compare two runs side by side."),
    "estimate": Home("estimate", "Estimate one run: cost, duration, what limits it."),
    "import": Home(
        "interchange",
        "Read a run from the files of Megatron-LM, NeMo, torchtitan, DeepSpeed, accelerate, axolotl, LLaMA-Factory, Trainer, ...",
    ),
    "export": Home("interchange", "Write a run as the files of a training framework."),
    "init": Home("init", "Write a commented run file to start from."),
    "plan": Home("plan", "Find the best layout that fits."),
    "prices": Home("prices", "List dated prices by accelerator and provider."),
    "report": Home("report", "Write one HTML page: the answer, its range, and the evidence for both."),
    "reproduce": Home("reproduce", "Predict the figures of published texts, and judge them."),
    "schema": Home("schema", "Print the keys of a file as JSON Schema."),
    "sweep": Home("sweep", "Estimate every combination of some inputs."),
    "trace": Home("trace", "Write the predicted step as a trace for Perfetto."),
    "validate": Home("validate", "Compare predictions with measured runs."),
    "watch": Home("watch", "Follow a log: measured against predicted, and what is left."),
    "hardware": Home("hardware", "Show accelerators and nodes: every figure with its source."),
    "models": Home("models", "Show architectures: exact parameter counts, parts, FLOPs."),
    "software": Home("software", "Show training stacks: what each was measured on, every figure."),
}
"""Every command, in the order of the help."""


def _take_as_typed(parameters: list[Any]) -> list[Any]:
    """Pass option text through unparsed, and None for absent options, without the validator that typer would build for each of forty
    options."""
    for one in parameters:
        if not one.required:
            one.process_value = partial(_taken, one)
    return parameters


def _taken(parameter: Any, ctx: typer.Context, value: Any) -> Any:
    """The value of a parameter, as typer would parse it."""
    kind = parameter.type_descriptor.annotation
    if value is None:
        value = () if parameter.multiple or parameter.nargs == -1 else None
    elif kind == list[str] and isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        value = list(value)
    elif kind is Path and isinstance(value, str):  # errors are reported where the file is read
        value = Path(value)
    elif kind is not str or not isinstance(value, str):
        return type(parameter).process_value(parameter, ctx, value)
    return value if parameter.callback is None else parameter.callback(ctx, parameter, value)


def _as_options(words: list[str], known: Container[str]) -> list[str]:
    """The words of a command line, with what people call its options replaced by the options: ``--batch-size=8`` -> ``--batch=8``. Raises
    ``EstimateError`` for what is said in another way, and for two names of one option."""
    end = words.index("--") if "--" in words else len(words)
    said = ((word.partition("=")[0], _plain(word)) for word in words[:end] if word.startswith("--"))
    named_once(name for option, name in said if option not in known or name in SHORTCUTS)
    return [_as_option(word, known) for word in words[:end]] + words[end:]


def _plain(word: str) -> str:
    """The name in an option as typed: ``--Batch-size=8`` -> ``batch_size``."""
    return word.partition("=")[0].removeprefix("--").replace("-", "_").lower()


def _as_option(word: str, known: Container[str]) -> str:
    said, equals, value = word.partition("=")
    if said in known or not said.startswith("--"):
        return word
    plain = _plain(word)
    option = f"--{flag_named(plain)}".replace("_", "-")
    if option in known:
        return option + equals + value
    if plain in ELSEWHERE and "--set" in known:  # a command about a run
        from gpuhours.inputs.errors import EstimateError

        raise EstimateError("No such option.", ELSEWHERE[plain], said)
    return word


def _hold_values(words: list[str], known: Mapping[str, Any]) -> None:
    """Raises ``EstimateError`` if an option that takes a value is followed by another option: ``--lora --tokens 20M`` would take
    ``--tokens`` for the rank, and 20M for a file."""
    end = words.index("--") if "--" in words else len(words)
    for option, value in pairwise(words[:end]):
        if option in known and known[option].takes_value and value.partition("=")[0] in known:
            from gpuhours.inputs.errors import EstimateError

            raise EstimateError(f"It takes a value, and {value} follows.", known[option].obj.help or "", option)


class AsTyped(TyperCommand):
    """A command whose options are ``_take_as_typed``."""

    def get_params(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Its parameters."""
        return _take_as_typed(super().get_params(ctx))

    def make_parser(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """A parser that refuses a second KEY=VALUE for an option that takes one: it looks like an addition but would silently
        replace the first. For plain values the last one wins, as in other programs."""
        parser: Any = super().make_parser(ctx)
        parse = parser.parse_args

        def once(args: list[str]) -> Any:
            words = _as_options(args, parser._long_opt)
            _hold_values(words, parser._long_opt)
            values, rest, order = parse(words)
            for one in set(order):
                if order.count(one) > 1 and one.metavar == "KEY=VALUE" and not one.multiple:
                    from gpuhours.inputs.errors import EstimateError

                    raise EstimateError("This is given more than once.", "It takes one value: keep one.", one.opts[0])
            return values, rest, order

        parser.parse_args = once
        return parser


class InOrder(TyperGroup):
    """Lists commands in the order of ``COMMANDS``, regardless of which was registered first."""

    def get_params(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Its parameters."""
        return _take_as_typed(super().get_params(ctx))

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """The registered commands."""
        return [name for name in COMMANDS if name in self.commands]

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """List all commands, registered or not: building twenty commands for their names takes as long as importing typer."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, home.line) for name, home in COMMANDS.items()])


HELP = ("-h", "--help")

app = typer.Typer(
    name="gpuhours",
    cls=InOrder,
    help="Estimate what a training run costs: GPU-hours, MFU, time, memory, money, energy and carbon.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would double the time it takes to appear
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": list(HELP)},
)


def _version(asked: bool) -> None:
    """Print the version and the digest of all constants, then exit."""
    if asked:
        from importlib.metadata import version

        from gpuhours.run.digest import digest

        typer.echo(f"gpuhours {version('gpuhours')}, constants {digest()}")
        raise typer.Exit


def command(name: str, epilog: str) -> Callable[[Run], Run]:
    """Register a command under its name, with its line from ``COMMANDS``."""
    return app.command(name, cls=AsTyped, short_help=COMMANDS[name].line, epilog=epilog)


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Version, and a digest of all constants."),
    ] = False,
) -> None:
    """Estimate what a training run costs: GPU-hours, MFU, time, memory, money, energy and carbon."""
