"""What is made of an included file is kept, and never taken for what other text or other code would make."""

import os
import pickle
import sys
from pathlib import Path

import pytest

from gpuhours.hardware.accelerators import AcceleratorProfile
from gpuhours.hardware.nodes import NodeProfile
from gpuhours.inputs import compiled as kept
from gpuhours.inputs import yaml_files
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import shipped_profiles
from gpuhours.inputs.units import Watts
from gpuhours.inputs.yaml_files import Section, read_yaml, validated
from gpuhours.software.profile import list_software, load_software


class Card(Section):
    power: Watts
    source: str


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


def test_a_kept_model_is_not_validated_again_until_text_or_code_changes(
    card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    validate = Card.model_validate
    monkeypatch.setattr(Card, "model_validate", lambda data: asked.append(data) or validate(data))
    first = validated(Card, read_yaml(card))
    assert validated(Card, read_yaml(card)) == first == Card(power="700 W", source="a sheet")  # type: ignore[arg-type]
    assert len(asked) == 1
    monkeypatch.setattr(kept, "own_code", lambda: b"another")
    assert validated(Card, read_yaml(card)) == first
    assert len(asked) == 2
    card.write_text("power: 800 W\nsource: a sheet\n")
    assert validated(Card, read_yaml(card)).power == 800.0
    card.write_text("power: much\nsource: a sheet\n")
    for _ in range(2):
        with pytest.raises(EstimateError, match="not a quantity"):
            validated(Card, read_yaml(card))


def test_the_code_that_decides_is_that_of_this_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert kept.own_code() == kept.own_code.__wrapped__()
    (tmp_path / "gpuhours" / "inputs").mkdir(parents=True)
    monkeypatch.setattr(kept, "__file__", str(tmp_path / "gpuhours" / "inputs" / "compiled.py"))
    seen = [kept.own_code.__wrapped__()]
    for text in ("a = 1", "a = 2", "a = 30"):
        (tmp_path / "gpuhours" / "inputs" / "units.py").write_text(text)
        os.utime(tmp_path / "gpuhours" / "inputs" / "units.py", ns=(0, 0))
        seen.append(kept.own_code.__wrapped__())
    (tmp_path / "gpuhours" / "inputs" / "further").mkdir()
    (tmp_path / "gpuhours" / "inputs" / "further" / "names.py").touch()
    seen.append(kept.own_code.__wrapped__())
    assert len(set(seen)) == len(seen)
    (tmp_path / "gpuhours" / "questions").mkdir()
    (tmp_path / "gpuhours" / "questions" / "checking.py").touch()
    assert kept.own_code.__wrapped__() == seen[-1], "of questions nothing is kept"


def test_what_names_other_files_is_not_kept(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published document holds a run, whose model is read from another file: its own text does not settle what it means."""
    monkeypatch.setattr(Card, "__module__", "gpuhours.questions.reproducing.document")
    validated(Card, read_yaml(card))
    assert [path.name for path in (card.parent / "__pycache__").iterdir()] == [kept.compiled_file(card).name]  # type: ignore[union-attr]


def test_every_included_profile_is_the_same_after_it_was_kept() -> None:
    kinds = {"accelerators": AcceleratorProfile, "nodes": NodeProfile}
    made: list[Section] = [load_software(name) for name in list_software()]
    made += [validated(kinds[kind], read_yaml(path)) for kind in kinds for path in shipped_profiles(kind).values()]  # type: ignore[index,arg-type]
    for one in made:
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert again.model_fields_set == one.model_fields_set


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
