"""What was parsed from an included file is kept, and never taken for another text's."""

import os
import sys
from pathlib import Path

import pytest

from gpuhours.inputs import compiled as kept
from gpuhours.inputs import yaml_files
from gpuhours.inputs.yaml_files import read_yaml


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in a folder of included files, where Python may write."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(yaml_files, "_own_folders", lambda: (f"{tmp_path}{os.sep}",))
    path = tmp_path / "card.yaml"
    path.write_text("power: 700 W\nsource: a sheet\n")
    return path


def test_the_second_reading_does_not_parse(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_yaml(card)
    monkeypatch.setattr(yaml_files, "_parsed", lambda text, name: pytest.fail("parsed again"))
    second = read_yaml(card)
    assert (second.data, second.place(("source",))) == (first.data, f"{card}:2:9")


def test_an_edited_file_is_read_again_whatever_its_date(card: Path) -> None:
    before = card.stat()
    assert read_yaml(card).data["power"] == "700 W"
    card.write_text("power: 800 W\nsource: a sheet\n")
    os.utime(card, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_yaml(card).data["power"] == "800 W"
    assert read_yaml(card).data["power"] == "800 W"


@pytest.mark.parametrize("damage", [b"", b"\0" * 7, b"\0" * 500])
def test_a_damaged_compiled_file_is_replaced(card: Path, damage: bytes) -> None:
    good = read_yaml(card).data
    (stored,) = (card.parent / "__pycache__").iterdir()
    written = stored.read_bytes()
    for content in (damage, written[:-3], written[:8] + damage):
        stored.write_bytes(content)
        assert read_yaml(card).data == good
        assert stored.read_bytes() == written


def test_nothing_is_written_where_python_writes_nothing(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert read_yaml(card).data["power"] == "700 W"
    assert [path.name for path in card.parent.iterdir()] == ["card.yaml"]


def test_a_folder_that_cannot_be_written_costs_only_time(card: Path) -> None:
    (card.parent / "__pycache__").write_text("a file where the folder would be")
    assert read_yaml(card).data == read_yaml(card).data == {"power": "700 W", "source": "a sheet"}


def test_a_users_own_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "run.yaml"
    path.write_text("name: mine\n")
    assert read_yaml(path).data == {"name": "mine"}
    assert [one.name for one in tmp_path.iterdir()] == ["run.yaml"]


def test_files_of_one_name_are_kept_apart_from_modules(tmp_path: Path) -> None:
    places = {kept.compiled_file(tmp_path / name) for name in ("typical.yaml", "typical.json", "typical.py")}
    assert len(places) == 3
