"""Inputs that once passed an entry point unchecked: very long names, texts that are no unit, endless files, profiles that change."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.inputs.errors import EstimateError, UnitError
from gpuhours.inputs.units import parse
from gpuhours.inputs.yaml_files import read_yaml_text
from gpuhours.questions.calibrating import logs
from gpuhours.questions.sweeping.where import where
from gpuhours.run.spec import from_dict
from gpuhours.software.profile import load_software
from hardware_specs import __file__ as specifications
from tests.benchmarks.doors import lines
from tests.conftest import Command

RUN = ("--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--gpus", "64", "--tokens", "1T")
ENDLESS = "/dev/zero"


@pytest.mark.parametrize("name", ["x" * 300, "mt-nlg-" * 100, "a/" * 2000, "a\0b", "a\0b.json", "../" * 50])
def test_a_name_longer_than_a_file_can_have(name: str) -> None:
    with pytest.raises(EstimateError) as refused:
        from_dict({"model": name, "data": {"tokens": "1T"}})
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("key", ["hardware.accelerator", "hardware.node", "software", "site"])
def test_a_file_whose_name_has_a_null_byte(gpuhours_command: Command, key: str) -> None:
    ran = gpuhours_command("estimate", *RUN, "--set", f'{key}="a\\0b.yaml"')
    assert (ran.code, ran.out) == (2, "")
    assert "null byte" in ran.err


@pytest.mark.parametrize("year", ["2009", "2101", "99999", "1e12"])
def test_years_without_training_stacks(gpuhours_command: Command, year: str) -> None:
    ran = gpuhours_command("estimate", *RUN, "--set", f"year={year}")
    assert (ran.code, ran.out) == (2, "")
    assert "Must be at" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        "\x0c2M2M １２",
        "1 ２3m",
        "1 _",
        "1 m_",
        "1 a" + "(" * 60,
        "1 USD 10^400^400 tokens",
        "1 9^9^9",
        "1/9^9^9^9",
        "2 m^(9^9^9)",
        "3 s^99",
    ],
)
def test_a_text_that_is_no_unit(text: str) -> None:
    with pytest.raises(UnitError):
        parse(text, "USD")


def test_half_a_sign_is_no_yaml() -> None:
    with pytest.raises(EstimateError, match="UTF-8"):
        read_yaml_text("name: a\udc80", "--set")


def test_a_profile_that_is_edited_is_read_again(tmp_path: Path) -> None:
    shipped = Path(specifications).parent / "accelerators" / "h100-sxm-80gb.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    first = load_accelerator(str(own))
    assert load_accelerator(str(own)) is first
    own.write_text(own.read_text(encoding="utf-8").replace("SXM", "XXM", 1) + "# edited\n", encoding="utf-8")
    assert "XXM" in load_accelerator(str(own)).title


def test_profiles_like_each_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("like: b\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("like: a\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="is not a profile"):
        load_software(str(tmp_path / "a.yaml"))
    (tmp_path / "c.yaml").write_text(f"like: {'x' * 300}\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="is not a profile"):
        load_software(str(tmp_path / "c.yaml"))


@pytest.mark.skipif(not os.path.exists(ENDLESS), reason="no such device")
@pytest.mark.parametrize(
    "words",
    [
        ("check", ENDLESS), ("validate", "--runs", ENDLESS), ("validate", "--totals", ENDLESS), ("watch", ENDLESS, "--once", *RUN),
        ("estimate", *RUN, "--log", ENDLESS), ("calibrate", ENDLESS, *RUN), ("import", ENDLESS), ("estimate", ENDLESS),
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_a_file_without_end(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 3_000_000)
    ran = gpuhours_command(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "is larger than" in ran.err


@pytest.mark.parametrize("command", ["check", "validate --runs", "validate --totals"])
def test_a_table_larger_than_any(gpuhours_command: Command, tmp_path: Path, command: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,gpus\n" + b"a,1\n" * 5_000_001)
    ran = gpuhours_command(*command.split(), str(path))
    assert (ran.code, ran.out) == (2, "")
    assert "is larger than 20 MB" in ran.err


def test_a_pdf_whose_end_is_missing(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "p.pdf"
    path.write_bytes(b"%PDF-1.4\n" + b"1 0 obj\n" * 1_000_000)
    before = time.process_time()
    ran = gpuhours_command("check", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[1:] == ["  is a truncated PDF", "  Fetch it again."]
    assert time.process_time() - before < 3


@pytest.mark.parametrize("piece", ["step 1 ", "iteration 1/", "100%|", "a", "\x1b[", "| "])
def test_a_log_of_one_line(tmp_path: Path, piece: str) -> None:
    path = tmp_path / "l.log"
    path.write_text(piece * (3_000_000 // len(piece)), encoding="utf-8")
    before = time.process_time()
    with pytest.raises(EstimateError, match="no recognised step"):
        logs.read_log(path)
    assert time.process_time() - before < 2


def test_a_cell_longer_than_any(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("step,step_time_s\n1,2.0\n2," + "9" * 200_000 + "\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="not a CSV of steps"):
        logs.read_log(path)
    path.write_text("iter 120: loss 5.1234, t\rime 252.42ms, 100 s/0 46.12%\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="no recognised step"):
        logs.read_log(path)


def test_a_large_log_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l.log"
    path.write_text(
        "".join(f"iter {n}: loss 5.1, time {100 + n % 7}.00ms, mfu 46.12%\n" for n in range(500)), encoding="utf-8"
    )
    whole = logs.read_log(path)
    monkeypatch.setattr(logs, "PIECE", 37)
    assert logs.read_log(path).lines == whole.lines
    assert len(whole.lines) == 500


@pytest.mark.parametrize("said", ["steps_per_second=5e-324", "step_time=1e300 s", "mfu=1e-300", "step_time=0 s"])
def test_an_observation_that_cannot_be(gpuhours_command: Command, said: str) -> None:
    ran = gpuhours_command("estimate", *RUN, "--observed", said)
    assert (ran.code, ran.out) == (2, "")
    assert "--observed" in ran.err


@pytest.mark.parametrize("dropout", ["9" * 400, "nan", "-1", "2", "[1]"])
def test_a_dropout_that_is_no_share(gpuhours_command: Command, tmp_path: Path, dropout: str) -> None:
    path = tmp_path / "n.yaml"
    path.write_text(
        f"model: {{num_layers: 2, hidden_size: 256, num_attention_heads: 4, hidden_dropout: {dropout}}}\ntrainer: {{devices: 8}}\n",
        encoding="utf-8",
    )
    ran = gpuhours_command("import", str(path))
    assert (ran.code, ran.out) == (2, "")


def test_a_shortcut_without_a_value(gpuhours_command: Command) -> None:
    ran = gpuhours_command("estimate", "--model", "", "--tokens", "1T")
    assert (ran.code, ran.out) == (2, "")
    assert "model" in ran.err


@pytest.mark.parametrize("text", ["!!int", "!!float", "!!bool x", "!!timestamp x"])
def test_a_tag_without_its_value(text: str) -> None:
    with pytest.raises(EstimateError, match=r"is not a value|is not YAML"):
        read_yaml_text(f"a: {text}\n", "r.yaml")


@pytest.mark.parametrize("text", ["cost != 3 / 0", "cost < 1e200 ** 2", "cost < (0 - 1) ** 0.5", "cost > 0 / 0"])
def test_a_condition_on_what_is_no_number(text: str) -> None:
    condition = where(text, {"cost": "USD"})
    assert condition(lambda name: np.array([1.0, np.nan])).dtype == bool


def test_a_condition_that_computes_with_words() -> None:
    with pytest.raises(EstimateError, match="Text cannot be used"):
        where("card == -'h100'", {"card": None})(lambda name: np.array(["h100"]))


@pytest.mark.parametrize("name", sorted(lines()))
def test_a_door_that_is_fed_hostile_lines_takes_usual_ones(name: str) -> None:
    """Otherwise ``python -m tests.benchmarks.million`` tests nothing behind the first refusal: most of a door's own lines are taken."""
    door = lines()[name]
    refused = 0
    for text in door.seeds[:40]:
        try:
            door.enter(text)
        except (EstimateError, UnitError):
            refused += 1
    assert refused < (len(door.seeds[:40]) if name in {"settings", "shortcuts"} else 3)
