"""What a command has no use for is not imported: half of a short command's time would go into it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pint", "dask", "distributed", "pyarrow", "altair", "lark", "markdown_it", "asyncio")
RUN = "--model llama-3-8b --tokens 1T --gpu p5.48xlarge --gpus 64 --batch 1024 --seq-len 8192"
WATCHED = """
import sys
from gpuhours_cli.app import main
sys.argv = ["gpuhours", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print("imported:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    "command", [f"estimate {RUN} --quiet", f"plan {RUN} --quiet", "hardware list --quiet", "--version"]
)
def test_nothing_heavy_is_imported(command: str) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED, *command.split()], capture_output=True, text=True, check=True)
    imported = done.stdout.rsplit("imported:", 1)[1].split()
    assert "gpuhours_cli" in imported
    assert [name for name in HEAVY if name in imported] == []
