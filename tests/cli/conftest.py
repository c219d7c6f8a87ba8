"""What the tests of commands share: a folder with the files that printed examples name."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
RUN_FILE = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[0]


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples of README and helps name; the README's own run file is ``run.yaml``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text(RUN_FILE, encoding="utf-8")
    (tmp_path / "h100.yaml").write_text(RUN_FILE, encoding="utf-8")
    (tmp_path / "a100.yaml").write_text(RUN_FILE.replace("h100-sxm-80gb", "a100-sxm-80gb"), encoding="utf-8")
    (tmp_path / "train_gpt.sh").write_text(
        "torchrun --nproc_per_node 8 pretrain_gpt.py --seq-length 2048 --global-batch-size 64 --micro-batch-size 1"
        " --tensor-model-parallel-size 2 --train-iters 1000 --bf16\n",
        encoding="utf-8",
    )
    shape = {
        "model_type": "llama", "hidden_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 4096,
        "vocab_size": 32000,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(shape), encoding="utf-8")
    (tmp_path / "train.log").write_text(steps_of(), encoding="utf-8")
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    return tmp_path


SITE = """\
stacks:
- stated: megatron-core
  software: megatron-core
  factor: 1.02
  own: 0.06
  shared: 0.02
  usual: 0.08
  accelerator: h100-sxm-80gb
  kind: vision and video
  steps: [{name: train.log, measured: 50 s, stated: 49 s, predicted: 50 s}]
"""


@functools.cache
def pace() -> float:
    """s a step of the README's run, as predicted."""
    import gpuhours
    from gpuhours.inputs.yaml_files import read_yaml_text

    step = gpuhours.estimate(read_yaml_text(RUN_FILE, "README.md").data).outcome.step
    assert step is not None
    return float(step.time)


def steps_of() -> str:
    """Megatron-LM's log of the README's run to its last step, at the pace that is predicted."""
    line = " iteration {0:8}/{1:8} | consumed samples: {0:12} | elapsed time per iteration (ms): {2:.1f} | global batch size:  2048 |\n"
    return "".join(line.format(number, 30, 1e3 * pace()) for number in range(1, 31))


def committed(folder: Path, branch: str = "main") -> None:
    """Everything in a folder as a commit on a branch, the repository made where there is none."""
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    if not (folder / ".git").is_dir():
        subprocess.run(["git", "init", "-q", "-b", branch, str(folder)], check=True)
    current = ["git", "-C", str(folder), "symbolic-ref", "--short", "HEAD"]
    if subprocess.run(current, check=True, capture_output=True, text=True).stdout.strip() != branch:
        subprocess.run(["git", "-C", str(folder), "checkout", "-q", "-b", branch], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "-A"], check=True)
    subprocess.run(["git", "-C", str(folder), *author, "commit", "-q", "-m", "x"], check=True)
