"""Hostile inputs through every surface: none may end in a fault of ours, a hang, a sign that is not seen, or a figure that is no number.

    python -m tests.benchmarks.fuzz [SECONDS] [SEED]

Seeds are files that are fine; each case breaks one: a number exchanged for a huge, tiny or absurd one, a line lost or doubled, a key
misspelt, signs of control put in, two files spliced, a word of the command line exchanged. Prints each distinct fault with the smallest
input that showed it; exit code 1 if any.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
NUMBERS = [
    "0", "-1", "1e308", "1e-308", "1e999", "nan", "inf", "-inf", "9223372036854775808", "0x1F",
    "1_000", "2 pixel", "3 s/0", "true", "~", "[]",
    "{}", "''", "1e30", "5e-324", "0.5", "１２", "1.8M", "2:30", "0o17", "1e3 parsec", "!!int x", "*a", "'\\u202e'",
]  # fmt: skip
SIGNS = [
    "\u202e",
    "\x1b[31m",
    "\x00",
    "\u2028",
    "\ufeff",
    "[bold]",
    "[/]",
    "=1+1",
    "\r",
    "<b>",
    "${x}",
    "`",
    "\\",
    "|",
    '"',
    "\t",
]
SLOW = 8.0
"""Seconds after which a case counts as a hang."""
LONG = 1.0
"""s of computing beyond what the unbroken file takes that a case may cost."""
LARGE = 500e6
"""Bytes that this process may take in all."""
WORDS = [
    "", "-", "--json", "--set", "-o", "9" * 400, "a" * 5000, "\u202e", "\x1b[31m", "[bold]", "nan", "1e999", "-1", "0", "/dev/null",
    "../..",
    "model=", "hardware.gpus=1e99", "layout.tensor=[1,2]", "x=y", "=", "{", "h100-sxm-80gb", "llama-3-8b", "1T", "40%", "\udc80",
]  # fmt: skip
"""What may stand where a word of a command line is meant."""


class HangError(Exception):
    """A case that took too long."""


def seeds() -> list[tuple[list[str], str, str]]:
    """(command, file name, content) of inputs that are fine."""
    runs = [path.read_text(encoding="utf-8") for path in sorted((HERE / "runs").glob("*.yaml"))]
    texts = [path.read_text(encoding="utf-8") for path in sorted((HERE / "texts").glob("*.txt"))[:20]]
    configs = (HERE / "architecture" / "hugging_face_configs.jsonl").read_text(encoding="utf-8").splitlines()
    found = [
        (["estimate", "r.yaml", *more], "r.yaml", run)
        for run in runs
        for more in ([], ["--json"], ["--explain", "mfu"])
    ]
    found += [
        (["sweep", "r.yaml", "--vary", "hardware.gpus=64,128"], "r.yaml", runs[0]),
        (["compare", "r.yaml", "r.yaml"], "r.yaml", runs[0]),
    ]
    found += [
        ([*words, "r.yaml", *more], "r.yaml", run)
        for run in runs
        for words, more in (
            (["report"], ["-o", "o.html"]), (["trace"], ["--json"]), (["trace"], ["-o", "t.json"]), (["export"], ["--to", "megatron"]),
            (["export"], ["--to", "nemo", "--json"]), (["plan"], ["--gpus", "8"]), (["compare"], ["r.yaml", "--json"]),
        )
    ]  # fmt: skip
    found += [(["import", name, "-o", "i.yaml", "--force"], name, content) for name, content in imported(runs[0])]
    found += [
        (["init", "--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb"], "r.yaml", "x"),
        (["schema", "run"], "r.yaml", "x"), (["prices", "--gpu", "h100", "--provider", "AWS"], "r.yaml", "x"),
        (["hardware", "show", "h100-sxm-80gb"], "r.yaml", "x"), (["software", "show", "megatron-core"], "r.yaml", "x"),
        (["estimate", "--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "--mfu", "40%"], "r.yaml", "x"),
    ]  # fmt: skip
    found += [(["check", "p.txt", *more], "p.txt", text) for text in texts for more in ([], ["--json"])]
    found += [
        (["models", "show", "config.json"], "config.json", json.dumps(json.loads(line)["config"], indent=1))
        for line in configs[::9]
    ]
    return found


def imported(run: str) -> list[tuple[str, str]]:
    """Files of other training code, as our own export writes them."""
    from gpuhours.inputs.yaml_files import read_yaml_text
    from gpuhours.questions.interchange.exporting import export
    from gpuhours.run.spec import from_dict

    names = {
        "megatron": "m.sh",
        "torchtitan": "t.toml",
        "deepspeed": "d.json",
        "accelerate": "a.yaml",
        "nemo": "n.yaml",
        "axolotl": "x.yml",
    }
    described = from_dict(read_yaml_text(run, "r.yaml").data)
    return [(name, export(described, code).text) for code, name in names.items()]


def misspoken(arguments: list[str], rng: random.Random) -> list[str]:
    """A command line with a word exchanged, doubled, lost or put in behind the command."""
    found = list(arguments)
    place = rng.randrange(1, len(found) + 1)
    found[place : place + rng.randint(0, 1)] = rng.choice(
        [[], [rng.choice(WORDS)], [rng.choice(WORDS), rng.choice(WORDS)]]
    )
    return found


def broken(content: str, rng: random.Random) -> str:
    """The content with one to four things wrong."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(BREAKS)(content, rng)
    return content


def _number(content: str, rng: random.Random) -> str:
    found = list(re.finditer(r"\d[\d.,]*", content))
    if not found:
        return content
    place = rng.choice(found)
    return content[: place.start()] + rng.choice(NUMBERS) + content[place.end() :]


def _value(content: str, rng: random.Random) -> str:
    lines = content.split("\n")
    place = rng.randrange(len(lines))
    lines[place] = re.sub(r":.*", lambda _: f": {rng.choice(NUMBERS)}", lines[place], count=1)
    return "\n".join(lines)


def _line(content: str, rng: random.Random) -> str:
    lines = content.split("\n")
    place = rng.randrange(len(lines))
    lines[place : place + 1] = rng.choice([[], [lines[place]] * 2, [lines[place] + lines[place]]])
    return "\n".join(lines)


def _sign(content: str, rng: random.Random) -> str:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(SIGNS) + content[place:]


def _swap(content: str, rng: random.Random) -> str:
    if len(content) < 4:
        return content
    start, end = sorted(rng.sample(range(len(content)), 2))
    other = rng.randrange(len(content))
    return content[:other] + content[start : min(end, start + 40)] + content[other:]


BREAKS: tuple[Callable[[str, random.Random], str], ...] = (_number, _number, _value, _line, _sign, _swap)


def tried(arguments: list[str], usual: float = 0.0) -> str | None:
    """What went wrong with one command, if anything did; ``usual`` s of computing are no fault."""
    from gpuhours_cli.app import main

    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["gpuhours", *arguments]
    signal.setitimer(signal.ITIMER_REAL, SLOW)
    code: Any = 0
    before = time.process_time()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code or 0
    except HangError:
        return f"hang: {arguments[0]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    took = time.process_time() - before
    if took > LONG + usual:
        return f"takes {took:.0f} s: {arguments[0]}"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > LARGE:
        return f"takes too much memory: {arguments[0]}"
    if code == 3:
        return err.getvalue().partition("failed (")[2].splitlines()[0][:90]
    if code not in (0, 1, 2):
        return f"exit code {code}"
    shown = out.getvalue() + err.getvalue()
    if re.search(r"(?<![\w-])(nan|inf|NaN|Infinity)(?![\w-])", out.getvalue()) and code == 0:
        return f"prints what is no number: {arguments[0]}"
    unseen = re.search("[\x00-\x08\x0b-\x1f\u2028\u202e]", shown)
    if unseen:
        return f"prints {unseen[0]!r}: {arguments[0]}"
    return None


def _too_long(*_: object) -> None:
    raise HangError


def main() -> int:
    """Break and try until the time is up."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns())
    signal.signal(signal.SIGALRM, _too_long)
    os.environ["COLUMNS"], os.environ["NO_COLOR"] = "80", "1"
    fine, faults, cases = seeds(), {}, 0
    usual: dict[int, float] = {}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while time.monotonic() < end:
            seed = rng.choice(fine)
            arguments, name, content = seed
            if id(seed) not in usual:
                Path(name).write_text(content, encoding="utf-8")
                started = time.process_time()
                tried(list(arguments), math.inf)
                usual[id(seed)] = time.process_time() - started
            if rng.random() < 0.2:
                arguments = misspoken(arguments, rng)
            text = broken(content, rng)
            Path(name).write_text(text, encoding="utf-8", errors="surrogatepass")
            cases += 1
            fault = tried(list(arguments), usual[id(seed)])
            if fault is not None and len(text) < len(faults.get(fault, (arguments, text + "x"))[1]):
                faults[fault] = (arguments, text)
        os.chdir("/")
    for fault, (arguments, text) in faults.items():
        print(f"{fault}\n  gpuhours {' '.join(arguments)}\n  {text[:600]!r}")
    print(f"{cases} cases, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
