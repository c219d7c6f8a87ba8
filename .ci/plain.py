"""Run every command in a plain install of the wheel: each must work or name the extra it needs (exit code 2), without a traceback."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

RUN = """
model: llama-2-7b
data: {tokens: 1T, seq_len: 4096}
training: {global_batch: 1024}
hardware: {accelerator: a100-sxm-80gb, gpus: 128}
software: megatron-core
layout: {tensor: 2, sharding: zero1}
"""
NEEDS_EXTRA = {"sweep"}
COMMANDS: dict[str, list[str]] = {
    "--help": ["--help"],
    "--version": ["--version"],
    "estimate": ["estimate", "run.yaml"],
    "estimate --json": ["estimate", "run.yaml", "--json"],
    "explain": ["estimate", "run.yaml", "--explain", "mfu"],
    "shortcuts": ["estimate", "--params", "7B", "--tokens", "1T", "--gpu", "a100-sxm-80gb", "--gpus", "64"],
    "reproduce": ["reproduce"],
    "check": ["check", "paper.txt"],
    "compare": ["compare", "run.yaml", "run.yaml"],
    "plan": ["plan", "run.yaml"],
    "sweep": ["sweep", "run.yaml", "--vary", "hardware.gpus=64,128"],
    "validate": ["validate", "--quiet"],
    "hardware list": ["hardware", "list"],
    "hardware show": ["hardware", "show", "h100-sxm-80gb"],
    "models list": ["models", "list"],
    "models show": ["models", "show", "llama-2-7b"],
    "schema": ["schema", "run"],
}


def main(python: str) -> int:
    """Run each command and print failures; return their number."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "run.yaml").write_text(RUN, encoding="utf-8")
        (Path(folder) / "paper.txt").write_text(
            "A 7B model was trained on 1T tokens with 64 A100 GPUs for 30 days.", encoding="utf-8"
        )
        for name, arguments in COMMANDS.items():
            ran = subprocess.run(
                [python, "-m", "gpuhours_cli", *arguments],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            names_extra = ran.returncode == 2 and "gpuhours[" in ran.stderr
            fine = ran.returncode in (0, 1) or (name in NEEDS_EXTRA and names_extra)
            if not fine or "Traceback" in ran.stderr:
                wrong += 1
                print(f"{name}: exit {ran.returncode}\n{ran.stderr[-2000:]}")
    print(f"{len(COMMANDS) - wrong} passed, {wrong} failed")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
