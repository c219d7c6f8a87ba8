"""Files that are not run files (empty, binary, endless, too deep) are refused at once, with their place and no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Command

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{above}'] * 10)}]\n" for above, name in zip("abcdefgh", "bcdefghi", strict=True)
)

FILES = [
    pytest.param(b"", "Nothing to estimate", id="empty"),
    pytest.param(b"~", "mapping of keys", id="null"),
    pytest.param(b"hello", "mapping of keys", id="a word"),
    pytest.param(bytes(range(256)), "not a text file", id="binary"),
    pytest.param("name: é".encode("latin-1"), "UTF-8", id="latin-1"),
    pytest.param("model: 7B".encode("utf-16"), "not a text file", id="utf-16"),
    pytest.param(b"model:\n\tparams: 7B\n", "run.yaml:2:1", id="tabs"),
    pytest.param(BOMB.encode(), "repeats too much", id="aliases of aliases"),
    pytest.param(b"a: &a [*a]\n", "repeats too much", id="a list in itself"),
    pytest.param(b"[" * 3000 + b"]" * 3000, "nest", id="brackets"),
    pytest.param(b"x" * 10_000_001, "larger than 10 MB", id="too large"),
    pytest.param(b"model: !!python/object:os.system x\n", "not YAML", id="a Python object"),
    pytest.param(b"a: 1\n---\nb: 2\n", "another document", id="two documents"),
    pytest.param(b"a: &a {x: 1}\nb: {<<: *a}\n", "merge keys", id="merge keys"),
    pytest.param(b"name: 2020-99-99\n", "run.yaml:1:7", id="a date that is none"),
    pytest.param(b"model: {params: " + b"9" * 5000 + b"}\n", "run.yaml:1:17", id="5,000 digits"),
    pytest.param(b"year: 0x" + b"F" * 5000 + b"\n", "thousands of digits", id="5,000 hexadecimal digits"),
    pytest.param(b"model: {params: .inf}\n", "not a finite number", id="infinity"),
    pytest.param(b"model: {params: 1e30}\n", "at most 1e+18", id="more parameters than can be"),
    pytest.param(b"data: {tokens: 1e300}\n", "at most 1e+18", id="more tokens than can be"),
    pytest.param(b"[1, 2]: 3\n", "a word or a number", id="a list for a key"),
    pytest.param(b'name: "a\\e[31mb"\n', "control characters", id="an escape sequence"),
    pytest.param(b"model: {params: 7B}\nassumptions: 3\n", "run.yaml:2:14", id="assumptions that are none"),
    pytest.param(b"stages: 3\n", "must be a list", id="stages that are none"),
    pytest.param(b"model: gpt2\nstages: [" + b"{}, " * 33 + b"]\n", "33 stages; at most 32", id="too many stages"),
    pytest.param(b"model: {params: 7B}\nstages: [{data: {token: 3}}]\n", "Did you mean 'tokens'", id="a misspelt key of a stage"),
]  # fmt: skip

ASSUMED = [
    pytest.param("value: 4096", "This key is missing", id="no reason"),
    pytest.param("value: 4096, reason: x, low: 1024", "a low and a high end", id="half a range"),
    pytest.param("value: 4096, reason: x, low: 5000, high: 3000", "in this order", id="a range upside down"),
    pytest.param("value: 4096, reason: x, low: 0, high: 9000", "must be positive", id="a range from nothing"),
    pytest.param("value: 4096, reason: x, low: few, high: many", "not a quantity", id="a range of words"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), FILES)
def test_refused(gpuhours_command: Command, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    ran = gpuhours_command("estimate", str(path))
    assert (ran.code, ran.out) == (2, "")
    assert said.lower() in ran.err.lower()
    assert len(ran.err) < 1500


@pytest.mark.parametrize(("assumption", "said"), ASSUMED)
def test_assumptions_are_checked(gpuhours_command: Command, tmp_path: Path, assumption: str, said: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"model: {{params: 7B}}\nassumptions: {{data.seq_len: {{{assumption}}}}}\n", encoding="utf-8")
    ran = gpuhours_command("estimate", str(path))
    assert ran.code == 2
    assert "assumptions.data.seq_len" in ran.err
    assert said in ran.err


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a":' * 5000 + "1" + "}" * 5000, '{"model_type": "llama"}', '{"a": ' + "9" * 5000 + "}"]
)
def test_a_config_that_is_none(gpuhours_command: Command, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    ran = gpuhours_command("estimate", "--model", str(path))
    assert ran.code == 2
    assert "config.json" in ran.err


@pytest.mark.parametrize("path", ["", "/", "/dev/zero", "/proc/self/mem"])
def test_what_is_no_file(gpuhours_command: Command, path: str) -> None:
    ran = gpuhours_command("estimate", path)
    assert ran.code == 2
    assert ran.err.startswith("error: ")


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "{a: &a [*a]}", "2020-99-99"])
def test_settings_are_read_as_carefully(gpuhours_command: Command, value: str) -> None:
    assert gpuhours_command("estimate", "--set", f"hardware.gpus={value}").code == 2


def test_the_same_duration_twice(gpuhours_command: Command) -> None:
    ran = gpuhours_command("estimate", "--gpus", "8", "--days", "3", "--set", "known.wall_clock=4 days")
    assert ran.code == 2
    assert "keep one" in ran.err


CASES = [
    ("check", "claims: {gpus: 512, wall_clock: 45 days, parameters: 100 s/0}\n", "not a unit", 2),
    ("estimate", "name: a\nmo[del:\n  params: 70B\n", "No such key", 2),
    ("estimate", "model: {params: 7B}\nassumptions:\n  assumptions.x: {value: 1, reason: none}\n", "about an assumption", 2),
    ("estimate", "!!int model: 7B\n", "is not a value", 2),
    ("estimate", "model: llama-3-8b\ndata: {tokens: 1T, text_tokens: 1e-999}\n", "A sample is empty", 2),
    ("estimate", "model: llama-3-8b\ndata: {tokens: 1e-308}\n", "at least 1e-09", 2),
    ("estimate", "name: nan\nmodel: llama-3-8b\n", "not a finite number", 2),
    ("estimate", "name: '-.inf'\nmodel: llama-3-8b\n", "not a finite number", 2),
    ("estimate", "model: llama-3-8b\ndata: {dataset_samples: 1e30}\n", "at most 1e+15", 2),
    ("reproduce", "name: a\ntitle: a\nsource: a\nclaims: {}\nfigures: []\nrun: {assumptions: {model: {from: 3}}}\n", "list of names", 2),
    ("reproduce", "name: a\ntitle: a\nsource: a\nclaims: {}\nfigures: []\nrun: {assumptions: 3}\n", "a mapping", 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "content", "said", "code"), CASES, ids=[f"{at}: {case[2]}" for at, case in enumerate(CASES)]
)
def test_what_once_ended_in_a_traceback(
    command: str, content: str, said: str, code: int, gpuhours_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "input.yaml"
    path.write_text(content, encoding="utf-8")
    ran = gpuhours_command(command, str(path))
    assert ran.code == code
    assert said in ran.err


def test_signs_that_are_not_seen_are_written_out(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("name: known\nmodel:\n  \u202e: 70B\n", encoding="utf-8")
    ran = gpuhours_command("estimate", str(path))
    assert "\u202e" not in ran.err
    assert "\\u202e" in ran.err


def test_our_own_fault_is_one_line_and_exit_code_3(gpuhours_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise KeyError("\x1b[31mlost")

    monkeypatch.setattr("gpuhours.questions.listing.schemas.schema", lambda kind: fails())
    ran = gpuhours_command("schema", "run")
    assert ran.code == 3
    assert "this is a bug" in ran.err
    assert "Traceback" not in ran.err
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    "words", [("check", "a\u202eb"), ("sweep", "run.yaml", "=", "\u202e"), ("export", "\x1b[31m", "megatron")]
)
def test_a_word_with_signs_that_are_not_seen_is_refused(gpuhours_command: Command, words: tuple[str, ...]) -> None:
    ran = gpuhours_command(*words)
    assert ran.code == 2
    assert "invisible characters" in ran.err
    assert not set(ran.err + ran.out) & {"\u202e", "\x1b"}


def test_a_word_where_other_code_has_a_share(gpuhours_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "m.sh"
    path.write_text(
        "torchrun pretrain_gpt.py --num-layers 4 --hidden-size 64 --num-attention-heads 4 --vocab-size 1000 --hidden-dropout {1\n",
        encoding="utf-8",
    )
    ran = gpuhours_command("import", str(path))
    assert ran.code == 2
    assert "'{1' is not a share" in ran.err


def test_a_file_that_is_written_spells_out_what_is_not_seen(gpuhours_command: Command, tmp_path: Path) -> None:
    path, made = tmp_path / "m.sh", tmp_path / "run.yaml"
    path.write_text(
        "torchrun pretrain_gpt.py --num-layers 4 --hidden-size 64 --num-attention-heads 4 --vocab-size 1000 --a\x1b[31mb 3\n",
        encoding="utf-8",
    )
    assert gpuhours_command("import", str(path), "-o", str(made)).code == 0
    assert "\x1b" not in made.read_text(encoding="utf-8")
    assert "\\x1b[31m" in made.read_text(encoding="utf-8")


def test_a_run_that_never_ends(gpuhours_command: Command) -> None:
    quick = (
        "--model",
        "llama-3-8b",
        "--gpu",
        "h100-sxm-80gb",
        "--gpus",
        "256",
        "--tokens",
        "1T",
        "--batch",
        "512",
        "--seq-len",
        "8192",
    )
    ran = gpuhours_command("estimate", *quick, "--set", "operation.failures=1000")
    assert ran.code == 2
    assert "never ends" in ran.err


def test_a_cell_without_end_and_a_number_without_end(gpuhours_command: Command, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,params_b\n" + "a" * 200_000 + ",7\n", encoding="utf-8")
    assert "not a CSV file" in gpuhours_command("check", str(table)).err
    run = (
        "--model",
        "llama-3-8b",
        "--gpu",
        "h100-sxm-80gb",
        "--gpus",
        "8",
        "--tokens",
        "1T",
        "--vary",
        "layout.tensor=1,2",
    )
    ran = gpuhours_command("sweep", *run, "--where", "mfu > 1e999")
    assert ran.code == 2
    assert "not a finite number" in ran.err


def test_what_stands_for_no_number_is_not_repeated(gpuhours_command: Command, tmp_path: Path) -> None:
    """Quotations stop before a marker of a missing number, and a cell that contains it is empty."""
    table, paper = tmp_path / "t.csv", tmp_path / "p.txt"
    table.write_text("id,params_b,tokens_b,gpu,gpus,days,country\nnan,7,1000,nan,64,30,inf\n", encoding="utf-8")
    paper.write_text(
        "A 7B model on 64 A100 GPUs. Gradients with inf sequences, 37 of them, and nan of the others.\n",
        encoding="utf-8",
    )
    shown = gpuhours_command("check", str(table), "--json").out + gpuhours_command("check", str(paper)).out
    assert "row 2" in shown
    assert "sequences, 37 of them, and" in " ".join(shown.split())
    assert not re.search(r"\b(nan|inf)\b", shown)
