"""Check that commands print the same JSON for any Python, hash seed, locale, time zone, number of threads and dependency versions.

    python -m tests.benchmarks.same_answer [PYTHON ...]

Runs examples of every command under each interpreter (the current one if none is given) in different environments; exit code 1 if any
byte differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "estimate run.yaml --json",
    "estimate --model llama-3-8b --tokens 1T --gpu h100-sxm-80gb --year 2025 --json",
    "plan run.yaml --json",
    "compare run.yaml run.yaml --gpu h200-sxm-141gb --json",
    "check paper.txt --json",
    "hardware show h100-sxm-80gb --json",
    "software show megatron-core --json",
    "models show deepseek-v3 --json",
    "prices --gpu h100 --json",
    "trace run.yaml --json",
    "export run.yaml --to torchtitan --json",
    "schema run",
    "schema hardware",
    "schema software",
    "schema claims",
    "schema document",
    "schema measurements",
    "validate --quiet --json",
)
SURROUNDINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "elsewhere": {
        "PYTHONHASHSEED": "12345", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "TZ": "Pacific/Kiritimati", "COLUMNS": "200",
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NPY_DISABLE_CPU_FEATURES": "", "PYTHONUTF8": "0",
    },
    "further off": {
        "PYTHONHASHSEED": "7", "LC_ALL": "de_DE.UTF-8", "TZ": "America/Los_Angeles", "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4",
    },
}  # fmt: skip
ASK = """
import contextlib, hashlib, io, json, re, sys
from gpuhours_cli.app import main
found = {}
for words in json.loads(sys.argv[1]):
    sys.argv = ["gpuhours", *words.split()]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    text = re.sub('"seconds": [0-9.e-]+,', "", out.getvalue(), count=1) if words.startswith("plan") else out.getvalue()
    found[words] = [len(text), hashlib.sha256(text.encode()).hexdigest()]
print(json.dumps(found))
"""


def answers(
    python: str, surroundings: Mapping[str, str], commands: tuple[str, ...] = COMMANDS
) -> dict[str, list[object]]:
    """Return command -> length and SHA-256 of its output, without the time that ``plan`` took."""
    paths = os.pathsep.join(str(ROOT / part) for part in ("estimator", "cli", "."))
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **surroundings}
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("run.yaml", "tests/runs/gpt-22b.yaml"), ("paper.txt", "tests/texts/bad-sparse.txt")):
            (Path(folder) / name).write_bytes((ROOT / source).read_bytes())
        command = [python, "-c", ASK, json.dumps(commands)]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, list[object]] = json.loads(ran.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Run the commands in all environments and print what differs."""
    pythons, differing = sys.argv[1:] or [sys.executable], 0
    usual = answers(pythons[0], {})
    for python in pythons:
        for name, surroundings in SURROUNDINGS.items():
            found = answers(python, surroundings)
            other = [command for command in COMMANDS if found[command] != usual[command]]
            differing += len(other)
            print(f"{python}, {name}: {len(COMMANDS) - len(other)} of {len(COMMANDS)} the same", *other, sep="\n  ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
