"""A command does not load modules that it does not need before it answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest
from typer.main import get_command

from gpuhours.cost.grids import countries
from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.hardware.nodes import list_nodes, load_node
from gpuhours.inputs import units
from gpuhours.questions.listing.prices import price_table
from gpuhours.software.profile import list_software, load_software
from gpuhours_cli.__main__ import main as begin
from gpuhours_cli.app import command_line, needed, registered
from gpuhours_cli.root import COMMANDS
from tests.benchmarks.speed import ONE_OFF
from tests.conftest import Command

NEEDLESS = (
    "pint", "lark", "numpy.ma", "pyarrow", "pandas", "altair", "gpuhours_cli.sweep", "gpuhours_cli.check", "typer._adapters",
    "typer.rich_utils", "gpuhours.cost.grids", "gpuhours.questions.planning.search", "gpuhours.questions.sweeping", "asyncio",
)  # fmt: skip
CODE = """
import atexit, json, sys
atexit.register(lambda: sys.stderr.write(json.dumps(sorted(sys.modules))))
from gpuhours_cli.app import main
main()
"""


def test_a_one_off_loads_no_registry_and_no_other_command() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", CODE, *ONE_OFF], env=environment, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(ran.stderr))
    assert "gpuhours_cli.estimate" in loaded
    assert sorted(loaded.intersection(NEEDLESS)) == []


def test_main_sets_the_garbage_collector_before_typer_is_loaded() -> None:
    code = "import sys; from gpuhours_cli.app import main; sys.exit('typer' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True
    )


def test_options_and_files_need_no_validator_of_typers(gpuhours_command: Command, tmp_path: Path) -> None:
    """Typer's validator for one argument would take a sixth of the start-up time."""
    (tmp_path / "run.yaml").write_text("model: llama-2-7b\n", encoding="utf-8")
    ran = gpuhours_command("estimate", str(tmp_path / "run.yaml"), "--tokens", "1B", "--set", "hardware.gpus=8")
    assert ran.code == 0, ran.err
    taken = {one.name: one._runtime_param for one in command_line(["estimate"]).commands["estimate"].params}
    assert {name: taken[name] for name in ("run", "tokens", "settings")} == {
        "run": None,
        "tokens": None,
        "settings": None,
    }


@pytest.mark.parametrize("module", ["gpuhours_cli.app", "gpuhours_cli.output", "gpuhours_cli.models"])
def test_ctrl_c_during_imports_leaves_no_traceback(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(MetaPathFinder):
        def find_spec(self, fullname: str, *_: object) -> None:
            if fullname == module:
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["gpuhours", "models"])
    with pytest.raises(SystemExit) as left:
        begin()
    assert left.value.code == 130


def test_every_unit_that_ships_has_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise reading a file that uses the unit imports pint, which takes longer than the estimate."""
    asked: list[tuple[str, str]] = []
    answer = units.asked
    monkeypatch.setattr(
        units, "asked", lambda name, unit, value: asked.append((name, unit)) or answer(name, unit, value)
    )
    for cached in (load_accelerator, load_node, load_software):
        getattr(cached, "cache_clear", lambda: None)()
    for names, load in ((list_accelerators, load_accelerator), (list_nodes, load_node), (list_software, load_software)):
        for name in names():
            load(name)  # type: ignore[operator]
    price_table()
    countries()
    assert asked == []


def test_every_command_registers_where_it_is_said_to() -> None:
    group = registered()
    commands = {one.name or one.callback.__name__: one.callback.__module__ for one in group.registered_commands}  # type: ignore[union-attr]
    groups = {one.name: f"gpuhours_cli.{one.name}" for one in group.registered_groups}
    assert {name: module.removeprefix("gpuhours_cli.") for name, module in {**commands, **groups}.items()} == {
        name: home.module for name, home in COMMANDS.items()
    }


def test_a_command_line_is_built_once_and_again_where_more_is_asked_for(gpuhours_command: Command) -> None:
    """Building twenty commands takes longer than most answers; a session, and these tests, run hundreds of commands."""
    registered()
    built = command_line(["plan"])
    assert command_line(["estimate"]) is built
    assert gpuhours_command("estimate", "no.yaml").err == gpuhours_command("estimate", "no.yaml").err != ""
    assert set(built.commands) == set(COMMANDS)


def test_the_list_of_commands_builds_none_and_says_what_each_says_of_itself() -> None:
    assert list(needed(["--help"])) == list(needed([])) == []
    assert list(needed(["plan", "--help"])) == ["plan"]
    assert list(needed(["plam"])) == list(needed(["--version"])) == list(COMMANDS)
    built = get_command(registered()).commands  # type: ignore[attr-defined]
    assert {name: built[name].short_help for name in COMMANDS} == {name: home.line for name, home in COMMANDS.items()}
