"""``gpuhours ci`` in its own repository: changes are estimated on both sides, and the steps of the GitHub Action run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import gpuhours
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.reviewing import Review, review
from tests.cli.conftest import committed
from tests.conftest import Command

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / ".github" / "actions" / "cost" / "action.yml").read_text(encoding="utf-8"))
RUN: dict[str, Any] = {
    "model": "config.json", "data": {"tokens": "1T", "seq_len": 2048}, "training": {"global_batch": 256},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 64}, "layout": {"tensor": 1, "sharding": "zero1"}, "software": "megatron-core",
    "known": {"mfu": 0.4, "goodput": 1.0}, "cost": {"price": "2 USD/hour", "country": "France"},
}  # fmt: skip
"""All uncertain inputs are given, so that cost is 6 N D / (MFU x peak) x price."""
SHAPE = {
    "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 16, "intermediate_size": 5632,
    "vocab_size": 32000,
}  # fmt: skip


def write(path: Path, **changes: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**RUN, **changes}, sort_keys=False), encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with three runs and an invalid file on main; on the branch, one run is changed, one new, one deleted, one unchanged."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    top = tmp_path / "repository"
    top.mkdir()
    (top / "runs").mkdir()
    (top / "runs" / "config.json").write_text(json.dumps(SHAPE), encoding="utf-8")
    for name in ("changed", "gone", "same"):
        write(top / "runs" / f"{name}.yaml")
    (top / "workflow.yaml").write_text("name: x\non: [push]\n", encoding="utf-8")
    committed(top)
    write(top / "runs" / "changed.yaml", data={"tokens": "2T", "seq_len": 2048})
    write(top / "runs" / "new.yaml", cost={"price": "3 USD/hour"})
    (top / "runs" / "gone.yaml").unlink()
    (top / "workflow.yaml").write_text("name: y\non: [push]\n", encoding="utf-8")
    committed(top, "branch")
    monkeypatch.chdir(top)
    return top


@pytest.fixture
def found(repository: Path) -> Review:
    return review("main")


def test_only_runs_that_changed_are_worked_out(found: Review) -> None:
    assert [(run.path, run.before is None, run.now is None) for run in found.runs] == [
        ("runs/changed.yaml", False, False), ("runs/gone.yaml", False, True), ("runs/new.yaml", True, False),
    ]  # fmt: skip


def test_sums_by_hand(found: Review, repository: Path) -> None:
    """Twice the tokens cost twice as much; the new run costs 1.5 times the deleted one: 2 - 1 + 1.5 - 1 times the cost of one run."""
    one = gpuhours.estimate(repository / "runs" / "same.yaml").results["cost"]
    assert one is not None
    assert found.change("cost") == pytest.approx(1.5 * one.value, rel=1e-9)
    assert found.total("cost") == pytest.approx(3.5 * one.value, rel=1e-9)
    assert found.change("gpu_hours") == pytest.approx(found.total("gpu_hours") / 3, rel=1e-9)  # type: ignore[operator]


def test_the_base_is_where_the_branch_began(repository: Path) -> None:
    """Later changes on main are not counted as changes of the branch."""
    subprocess.run(["git", "checkout", "-q", "main"], check=True)
    write(repository / "runs" / "same.yaml", training={"global_batch": 512})
    committed(repository)
    subprocess.run(["git", "checkout", "-q", "branch"], check=True)
    assert [run.path for run in review("main").runs] == ["runs/changed.yaml", "runs/gone.yaml", "runs/new.yaml"]


def test_a_configuration_beside_the_run_is_the_old_one_on_the_old_side(repository: Path) -> None:
    deeper = {**SHAPE, "num_hidden_layers": 32}
    (repository / "runs" / "config.json").write_text(json.dumps(deeper), encoding="utf-8")
    run = next(one for one in review("main").runs if one.path == "runs/changed.yaml")
    before, now = run.result("parameters", now=False), run.result("parameters", now=True)
    assert before is not None
    assert now is not None
    assert before.value < now.value


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--budget", "10M USD"), 0), (("--budget", "50k USD"), 1)])
def test_gate(gpuhours_command: Command, repository: Path, words: tuple[str, ...], code: int) -> None:
    ran = gpuhours_command("ci", *words)
    assert ran.code == code
    assert ran.out.startswith("<!-- gpuhours ci -->\n### Training cost +")
    assert ("over by" in ran.out) == bool(code)
    assert "`data.tokens` 1 T → 2 T" in ran.out
    widths = {line.count("|") for line in ran.out.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_a_cost_that_is_not_known_is_not_within_a_budget(gpuhours_command: Command, repository: Path) -> None:
    (repository / "runs" / "open.yaml").write_text("model: llama-2-7b\ndata: {seq_len: 2048}\n", encoding="utf-8")
    ran = gpuhours_command("ci", "runs/open.yaml", "--budget", "10M USD")
    assert ran.code == 1
    assert "not determined" in ran.out
    assert gpuhours_command("ci", "runs/open.yaml").code == 0


def test_a_run_that_does_not_fit_fails(gpuhours_command: Command, repository: Path) -> None:
    write(repository / "runs" / "big.yaml", model="llama-3-70b", hardware={"accelerator": "a100-sxm-80gb", "gpus": 8})
    ran = gpuhours_command("ci", "runs/big.yaml")
    assert ran.code == 1
    assert "**`runs/big.yaml` does not fit**" in ran.out


def test_json(gpuhours_command: Command, repository: Path) -> None:
    document = json.loads(gpuhours_command("ci", "--json", "--budget", "50k USD").out)
    assert document["schema"].startswith("gpuhours/ci/")
    assert document["passes"] is False
    assert document["over_budget"] is True
    assert document["runs"][0]["inputs"] == ["data.tokens"]
    assert document["runs"][0]["change"]["cost"] == pytest.approx(
        document["runs"][0]["now"]["cost"]["value"] - document["runs"][0]["before"]["cost"]["value"]
    )


def test_bad_input(
    gpuhours_command: Command, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, told in (
        (("--base", "nowhere"), "nowhere"),
        (("workflow.yaml",), "workflow.yaml"),
        (("--budget", "5 GB"), "--budget"),
    ):
        ran = gpuhours_command("ci", *words)
        assert ran.code == 2
        assert told in ran.err
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EstimateError, match="not a git repository"):
        review("main")


def test_names_that_are_more_than_names(gpuhours_command: Command, repository: Path) -> None:
    """Authors of pull requests choose names of files and runs; none may act as markup, option or pattern, leave the tree or crash us."""
    runs = repository / "runs"
    names = [
        b"`a` @all | <b>.yaml",
        b"new\nline.yaml",
        b"\x1b[31m.yaml",
        b"--budget.yaml",
        b":(exclude)*.yaml",
        b"\xff.yaml",
    ]
    (runs / "elsewhere").symlink_to("/etc")
    for name in names:
        write(Path(os.fsdecode(os.fsencode(runs) + b"/" + name)))
    committed(repository, "hostile")
    for name in names:
        write(Path(os.fsdecode(os.fsencode(runs) + b"/" + name)), software="nemo-2023", name="![x](y) @all")
    ran = gpuhours_command("ci", "--base", "hostile")
    assert ran.code == 0, ran.err
    assert "now" in ran.out
    for path in ("`` runs/`a` @all \\| <b>.yaml ``", "`runs/new\\nline.yaml`", "`runs/\\x1b[31m.yaml`", "`runs/:(exclude)*.yaml`",
                 "`runs/\\udcff.yaml`"):  # fmt: skip
        assert f"| {path} | was |" in ran.out
    assert gpuhours_command("ci", "--base", "--output=x").code == 2


EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
GH = """#!/usr/bin/env bash
echo "$@" >> "$RUNNER_TEMP/gh"
case "$*" in *--paginate*) cat "$RUNNER_TEMP/old" 2>/dev/null;; esac
exit 0
"""


def steps(repository: Path, folder: Path, inputs: dict[str, str]) -> tuple[list[tuple[str, int]], dict[str, str]]:
    """Run the steps of the action as a runner does: evaluate ``if``, then run the script with its environment."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in (
        ("gh", GH),
        ("gpuhours", f'#!/usr/bin/env bash\nexec "{sys.executable}" -m gpuhours_cli "$@"\n'),
    ):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    known = {
        **{f"inputs.{name}": str(one.get("default", "")) for name, one in ACTION["inputs"].items()},
        **{f"inputs.{name}": value for name, value in inputs.items()},
        "github.repository": "someone/something", "github.event_name": "pull_request", "github.event.pull_request.number": "7",
    }  # fmt: skip
    environment = {
        **os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path),
        "RUNNER_TEMP": str(folder), "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }  # fmt: skip
    ran, failed = [], False
    for step in ACTION["runs"]["steps"]:
        condition = str(step.get("if", "true"))
        if failed or not all(_holds(part, known) for part in condition.split(" && ")):
            continue
        own = {name: filled(str(value), known) for name, value in step.get("env", {}).items()}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            command, cwd=repository, env={**environment, **own}, capture_output=True, text=True, check=False
        )
        ran.append((step["name"], done.returncode))
        failed = done.returncode != 0
        if (folder / "output").is_file():
            lines = (folder / "output").read_text(encoding="utf-8").split()
            known |= {
                f"steps.{step['id']}.outputs.{line.partition('=')[0]}": line.partition("=")[2]
                for line in lines
                if "id" in step
            }
    return ran, known


def filled(text: str, known: dict[str, str]) -> str:
    """Return the value of an environment variable with its expressions evaluated."""
    return EXPRESSION.sub(lambda one: known[one[1]], text)


def _holds(condition: str, known: dict[str, str]) -> bool:
    if condition == "true":
        return True
    name, equal, value = re.fullmatch(r"(\S+) (==|!=) '(.*)'", condition).groups()  # type: ignore[union-attr]
    return (known.get(name, "") == value) == (equal == "==")


@pytest.mark.parametrize(
    ("budget", "old", "passes"),
    [("10M USD", "", True), ("50k USD", "123\n", False), ("", "", True)],
    ids=["under", "over", "none"],
)
def test_the_steps_of_the_action(repository: Path, tmp_path: Path, budget: str, old: str, passes: bool) -> None:
    folder = tmp_path / "runner"
    folder.mkdir()
    (folder / "old").write_text(old, encoding="utf-8")
    ran, known = steps(
        repository, folder, {"base": "main", "budget": budget, "package": "", "token": "t", "paths": "runs"}
    )
    assert ran == [("Review", 0), ("Comment", 0), *([] if passes else [("Gate", 1)])]
    assert known["steps.review.outputs.passes"] == ("true" if passes else "false")
    comment = (folder / "gpuhours.md").read_text(encoding="utf-8")
    assert comment == (folder / "summary").read_text(encoding="utf-8")
    assert "runs/changed.yaml" in comment
    called = (folder / "gh").read_text(encoding="utf-8").splitlines()
    assert (
        "PATCH repos/someone/something/issues/comments/123" if old else "POST repos/someone/something/issues/7/comments"
    ) in called[-1]


def test_bad_input_fails_the_action_at_once(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runner"
    folder.mkdir()
    ran, _ = steps(repository, folder, {"base": "nowhere", "package": "", "token": "t"})
    assert ran == [("Review", 2)]
