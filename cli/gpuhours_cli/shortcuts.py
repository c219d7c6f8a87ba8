"""Shortcuts as command-line options, for every command that estimates a run."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpuhours.run.flags import SHORTCUTS, key_of
from gpuhours_cli import completion

if TYPE_CHECKING:
    from gpuhours.run.spec import Run

RunFile = Annotated[
    Path | None,
    typer.Argument(help="The run as YAML (`gpuhours schema run`); - reads standard input.", show_default=False),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set any key of the run; may be repeated.",
        autocompletion=completion.keys,
    ),
]

ObservedStep = Annotated[
    str | None,
    typer.Option(
        "--observed",
        metavar="KEY=VALUE",
        help="What a step of this run measured: step_time=1.42s, mfu=38%, ...; the answer follows it.",
    ),
]
LogOfSteps = Annotated[
    Path | None, typer.Option("--log", metavar="FILE", help="The same, taken from the run's log.", show_default=False)
]

Engine = Annotated[str, typer.Option(help="local, or dask for a cluster.")]
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS", help="The cluster's scheduler: tcp://HOST:8786.")]


@dataclass(frozen=True)
class Asked:
    """The run that a command is given: a file, overridden by shortcuts and ``--set`` keys, and optionally a measured step of its own."""

    path: Path | None
    shortcuts: Mapping[str, str]
    settings: list[str] | None
    observed: str | None
    log: Path | None

    def run(self, example: str) -> Run:
        """The run that the options describe; ``example`` is the hint of the ``EstimateError`` raised if nothing is given."""
        return at_own_step(described(self.path, self.shortcuts, self.settings, example), self.observed, self.log)


@contextlib.contextmanager
def placed(path: Path | None, options: Mapping[str, tuple[str, ...]]) -> Iterator[None]:
    """Errors that name only a key of the run, found after its file was read, also name the ``options`` (as typed -> the key that they set)
    that set something there, or if none does the file and the line."""
    from gpuhours.inputs.errors import EstimateError

    try:
        yield
    except EstimateError as error:
        from gpuhours.inputs.yaml_files import Source
        from gpuhours.run.spec import Run, run_file

        said = error.where.partition(":")[0].split(".")
        whole = tuple(int(part) if part.isdigit() else part for part in said)
        stage, key = (whole[:2], whole[2:]) if whole[0] == "stages" else ((), whole)
        if whole[0] in Run.model_fields:
            source = run_file(path) if isinstance(path, Path) and str(path) != "-" else Source("the run", {})
            by = [
                option
                for option, sets in options.items()
                if (sets[: len(key)] == key or key[: len(sets)] == sets)
                and not (stage and source.value((*stage, *sets)) is not None)
            ]
            there = next((one for one in (whole, key) if source.value(one) is not None), None)
            if by:
                error.where = f"{' '.join(by)}  {error.where}"
            elif there:
                error.where = f"{source.place(there)}  {error.where}"
        raise


def typed(shortcuts: Mapping[str, str], settings: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Options as typed, and the key of the run that each sets."""
    options = {f"--{name.replace('_', '-')} {value}": SHORTCUTS[name][0] for name, value in shortcuts.items()}
    options |= {f"--set {text}": key_of(text.partition("=")[0].strip()) for text in settings or []}
    return {option: tuple(key.split(".")) for option, key in options.items()}


OF_A_RUN = {"run": RunFile, "settings": Settings, "observed": ObservedStep, "log": LogOfSteps}


def takes_run(command: Callable[..., None]) -> Callable[..., None]:
    """A command about one run: replaces its argument ``asked`` by the options for the run file, ``--set``, ``--observed``, ``--log`` and
    every shortcut, and passes their values in ``asked``."""
    own = inspect.signature(command)
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in OF_A_RUN.items()
    ]

    def with_run(*, shortcuts: Mapping[str, str], **arguments: Any) -> None:
        path, settings, observed, log = (arguments.pop(name) for name in OF_A_RUN)
        command(**arguments, asked=Asked(path, shortcuts, settings, observed, log))

    asked = [
        one
        for name, kept in own.parameters.items()
        for one in (options if name == "asked" else [kept.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
    ]
    with_run.__signature__ = own.replace(parameters=asked)  # type: ignore[attr-defined]
    with_run.__name__, with_run.__doc__, with_run.__module__ = command.__name__, command.__doc__, command.__module__
    return takes_shortcuts(with_run)


def takes_shortcuts(command: Callable[..., None]) -> Callable[..., None]:
    """A command with every shortcut as an option; those that are set are passed in its argument ``shortcuts``.

    An option of the command with the same name as a shortcut (``plan --gpus``) takes precedence.
    """
    own = inspect.signature(command)
    kept = [one for name, one in own.parameters.items() if name != "shortcuts"]
    taken = [name for name in SHORTCUTS if name not in own.parameters]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(name))
        for name in taken
    ]

    def with_shortcuts(**arguments: Any) -> None:
        given = {name: value for name in taken if (value := arguments.pop(name)) is not None}
        one = arguments.get("run") or (None if arguments.get("second") else arguments.get("first"))
        with placed(one, typed(given, arguments.get("settings"))):
            command(**arguments, shortcuts=given)

    keyword_only = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in kept]
    asked = sorted(keyword_only + added, key=lambda one: one.name in ("as_json", "quiet"))
    with_shortcuts.__signature__ = own.replace(parameters=asked)  # type: ignore[attr-defined]
    with_shortcuts.__annotations__ = {one.name: one.annotation for one in asked}
    with_shortcuts.__name__, with_shortcuts.__doc__ = command.__name__, command.__doc__
    with_shortcuts.__module__ = command.__module__
    return with_shortcuts


def _option(name: str) -> Any:
    key, text = SHORTCUTS[name]
    shown = typer.Option(
        f"--{name.replace('_', '-')}",
        help=f"{text}  [{key}]",
        show_default=False,
        rich_help_panel="Shortcuts",
        autocompletion=completion.of_key(key),
    )
    return Annotated[str | None, shown]


def described(path: Path | None, shortcuts: Mapping[str, str], settings: list[str] | None, example: str) -> Run:
    """The run of a file (``-`` reads standard input), overridden by the shortcuts and then by the ``--set`` keys."""
    from gpuhours.inputs.errors import EstimateError
    from gpuhours.inputs.yaml_files import Source
    from gpuhours.run.overlays import setting
    from gpuhours.run.shortcuts import overlaid
    from gpuhours.run.spec import run_file

    if path is None and not (shortcuts or settings):
        raise EstimateError("Nothing to estimate.", example)
    source = Source("the run", {}) if path is None else run_file(path)
    return overlaid(source, shortcuts, dict(setting(text) for text in settings or []))


def at_own_step(run: Run, observed: str | None, log: Path | None) -> Run:
    """The run calibrated to a measured step of its own; unchanged if none is given."""
    if observed is None and log is None:
        return run
    from gpuhours.questions.calibrating.own_step import on_site, site_of_step

    return on_site(run, site_of_step(run, observed, log))
