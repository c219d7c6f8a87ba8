"""Extract ``--name value`` from a shell script: substitute variables, evaluate arithmetic and skip branches that are not taken."""

from __future__ import annotations

import ast
import operator
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.interchange.arithmetic import SHELL, value_of_expression
from gpuhours.questions.interchange.keys import without_effect
from gpuhours.questions.interchange.swift import LAUNCH, LAUNCHED

_SET = re.compile(r"^(?:export\s+|local\s+)?([A-Za-z_]\w*)(\+?)=(.*)$")
_USED = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)")
_SUM = re.compile(r"\$\(\(((?:[^()]|\([^()]*\))*)\)\)")
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?")
_PER_NODE = re.compile(r"^gpu:(?:\w+:)?(\d+)$")
_BRANCH = re.compile(r";\s*(?=(?:then|else|elif|fi|esac|;)\b|;)")
_THEN = re.compile(r"^(\s*(?:then|else))\s+(?=\S)", re.MULTILINE)
_CASE = re.compile(r"^(\s*[\w.|*\"'-]+\))\s+(?=\S)")
"""A ``case`` pattern with a command on the same line."""
SLURM = {
    "nodes": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
    "gpus_per_node": ("SLURM_GPUS_PER_NODE", "SLURM_GPUS_ON_NODE"),
}
"""Variables that Slurm sets, by directive."""
_GIVEN = re.compile(r"\$(\d|\{\d\})")
"""A positional argument."""
_SHOWN = re.compile(r"\s*(?:echo|printf)\s(?!.*\|\s*(?:ba)?sh\b)")
"""A line that only shows its words, such as a script's own usage."""
_SCRIPT = re.compile(r"\b(?:sbatch|bash|sh)\b|>\s*[\"']?[^\s\"']+\.(?:sh|slurm|sbatch)\b")
"""A command that runs a here-document, or a file of commands that it is written to."""
LISTS = frozenset({"lora_target_modules", "lora_target", "target_modules", "fsdp"})
"""Arguments that take several words."""
LONGEST_COUNT = 20
"""Maximum digits of a count."""
MOST_ADDED = 1_000_000
"""Most characters that the values of variables may add to a script: ``A=$A$A`` doubles with every line."""


class _Variables(dict[str, str]):
    """The values of a script's variables; what their uses add to the script is bounded."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.added = where, 0

    def used(self, name: str) -> str | None:
        """The value of a variable, for one use; raises ``EstimateError`` if the values used so far are too long together."""
        value = self.get(name)
        self.added += len(value or "")
        if self.added > MOST_ADDED:
            raise EstimateError(
                f"The values of the script's variables come to more than {MOST_ADDED:,} characters (${name[:40]} is one).",
                "Import the part of the script that launches the training, with the variables that it uses.",
                self.where,
            )
        return value


def arguments(text: str, where: str = "") -> dict[str, Any]:
    """``--name value`` pairs of a shell script, in any order, with the script's variables substituted.

    >>> arguments("TP=4\\ntorchrun --nproc_per_node=8 pretrain.py --tensor-model-parallel-size $TP --bf16")
    {'nproc_per_node': '8', 'tensor_model_parallel_size': '4', 'bf16': True}
    >>> arguments('N=2\\nif [ $N -gt 4 ]; then\\nA="--fp8"\\nelse\\nA="--bf16"\\nfi\\ntrain $A --layers $((4*N-1))')
    {'bf16': True, 'layers': '7'}
    """
    known = _Variables(where)
    values: dict[str, Any] = {}
    branches = _Branches()
    name = None
    for line in _lines(text, values, known):
        name = None if name is not None and values.get(name) is not True else name  # a list ends with its line
        if branches.turn(line, known, values) or not branches.taken or _SHOWN.match(line):
            continue
        for word in _words(_SUM.sub(lambda match: _filled(match[0], known), line)):
            assigned = _SET.match(word)
            if assigned and assigned[1] in known and _GIVEN.fullmatch(assigned[3]):
                inner = []  # an argument of the script, whose default is known
            elif assigned and not word.startswith("-"):
                known[assigned[1]] = _filled(assigned[3].lstrip("(").rstrip(";"), known)
                inner = _words(known[assigned[1]]) if "--" in known[assigned[1]] else []
            elif word.startswith("--") and not re.search(r"\s", word):  # a word with spaces was quoted
                inner = [_filled(word, known)]
            else:
                inner = _filled(word, known).split() if word.startswith("--") else _words(_filled(word, known))
            for part in inner:
                name = _taken(part, name, values)
    _of_tasks(values)
    launch = LAUNCH.search(text)
    if launch and values:
        values[LAUNCHED] = f"{launch[1]} {launch[2]}"
        for variable, argument in (("NPROC_PER_NODE", "nproc_per_node"), ("NNODES", "nnodes")):  # ms-swift reads these
            if variable in known:
                values.setdefault(argument, known[variable])
    return values


def _of_tasks(values: dict[str, Any]) -> None:
    """Read srun's options as Slurm's directives are read: ``--gres=gpu:8``, and one task for each GPU."""
    per_node = _PER_NODE.match(str(values.get("gres", "")))
    if per_node:
        values.pop("gres")
        values.setdefault("gpus_per_node", per_node[1])
    if "ntasks_per_node" in values and values["ntasks_per_node"] == values.get("gpus_per_node"):
        for said in ("ntasks_per_node", "ntasks"):
            values.pop(said, None)


def _lines(text: str, values: dict[str, Any], known: dict[str, str]) -> Iterator[str]:
    """Yield logical lines: continuation lines are joined, comments and here-documents left out, and branches put on
    separate lines.

    Slurm directives count as arguments, and define the variables that Slurm sets."""
    plain = []
    for line in _run(text.splitlines()):
        bare = line.strip()
        if bare.startswith("#SBATCH"):
            _directive(bare.removeprefix("#SBATCH"), values, known)
        elif not bare.startswith("#"):
            plain.append(line)
    for line in re.sub(r"\\\s*\n", " ", "\n".join(plain)).splitlines():
        branching = line.strip().startswith(("if ", "elif ", "else", "then", "case "))
        parts = _CASE.sub(r"\1\n", _THEN.sub(r"\1\n", _BRANCH.sub("\n", line)) if branching else line).splitlines()
        yield from (part.rstrip("; ") for part in parts)


def _run(lines: list[str]) -> Iterator[str]:
    """The lines of a script without its here-documents, except those that are scripts themselves: run by a shell or Slurm, written to
    a script, or started with ``#!``."""
    end, kept, opener = "", True, ""
    for line in lines:
        if end and line.strip() == end:
            end, kept = "", True
            continue
        if opener and line.strip():
            kept, opener = _SCRIPT.search(opener) is not None or line.strip().startswith("#!"), ""
        if kept and not opener:
            yield line.replace("\\\\", "\\") if end else line
        started = _HERE.search(line) if not end and not line.strip().startswith("#") else None
        if started and "<<<" not in line:
            end, opener = started[1], line


def _directive(text: str, values: dict[str, Any], known: dict[str, str]) -> None:
    """Process a Slurm directive: nodes and GPUs per node; other options do not affect the step."""
    name, told = None, dict[str, Any]()
    for word in _words(text):
        short = word.startswith("-N")
        name = _taken(f"--nodes={word[2:]}" if short and word[2:] else "--nodes" if short else word, name, told)
    per_node = _PER_NODE.match(str(told.get("gres", "")))
    values |= {key: value for key, value in told.items() if key in SLURM} | (
        {"gpus_per_node": per_node[1]} if per_node else {}
    )
    for directive, variables in SLURM.items():
        if str(values.get(directive, "")).isdigit():
            known |= dict.fromkeys(variables, str(values[directive]))


@dataclass
class _Branch:
    """An ``if`` or ``case`` that is not yet closed."""

    read: bool
    """Whether lines of the current branch are read."""
    before: bool = False
    """Whether this or an earlier branch is certainly taken."""
    about: str = ""
    """The subject of a ``case``."""
    condition: str = ""
    """The condition, if its value is not known from the file; ``said`` holds the values before it."""
    said: Mapping[str, Any] = field(default_factory=dict)


class _Branches:
    """Tracks which branches of ``if`` and ``case`` a script takes. If its own variables do not decide, all are read and reported."""

    def __init__(self) -> None:
        self._open: list[_Branch] = []

    @property
    def taken(self) -> bool:
        """Whether the next line is read."""
        return all(branch.read for branch in self._open)

    def turn(self, line: str, known: _Variables, values: dict[str, Any]) -> bool:
        """Process a line that opens, changes or ends a branch; False for any other."""
        word, _, rest = line.strip().partition(" ")
        last = self._open[-1] if self._open else None
        if word == "if":
            decided = _decided(rest, known)
            open_one = decided is None and self.taken
            self._open.append(
                _Branch(decided is not False, decided is True, "", rest.strip() if open_one else "", dict(values))
            )
        elif word == "case":
            about = " ".join(_words(_filled(rest.rsplit(" in", 1)[0], known)))
            self._open.append(_Branch(False, False, about, rest.strip() if "$" in about else "", dict(values)))
        elif last is None:
            return word in ("then", ";;")
        elif word in ("fi", "fi;", "esac"):
            self._close(values)
        elif word in ("elif", "else"):
            decided = _decided(rest, known) if word == "elif" else True
            last.read, last.before = decided is not False and not last.before, last.before or decided is True
        elif last.about and ")" in line and "(" not in line.partition(")")[0]:
            fits = any(one.strip().strip("'\"") in (last.about, "*") for one in line.partition(")")[0].split("|"))
            last.read = (fits or "$" in last.about) and not last.before
            last.before = last.before or (fits and "$" not in last.about)
        else:
            return word in ("then", ";;")
        return True

    def _close(self, values: dict[str, Any]) -> None:
        """End a branch; report its values if the file does not decide whether it is taken."""
        branch = self._open.pop()
        moved = [name for name, value in values.items() if branch.said.get(name) != value and not without_effect(name)]
        if branch.condition and moved:
            values[f"if {branch.condition}"] = f"not decided by the file, but read: {', '.join(moved[:3])}"


def _decided(condition: str, known: _Variables) -> bool | None:
    """Whether a condition is true; None if the file does not determine it."""
    verdict: bool | None = None
    tests = re.split(r"\s(&&|\|\|)\s", condition.strip().removesuffix("then").strip().rstrip(";"))
    for joint, test in zip(["", *tests[1::2]], tests[::2], strict=True):
        this = _tested(_words(_filled(_SUM.sub(lambda match: _filled(match[0], known), test), known)))
        if not joint:
            verdict = this
        elif joint == "&&":
            verdict = False if verdict is False or this is False else None if None in (verdict, this) else True
        else:
            verdict = True if verdict is True or this is True else None if None in (verdict, this) else False
    return verdict


NUMBERS = {
    "-eq": operator.eq, "-ne": operator.ne, "-gt": operator.gt, "-ge": operator.ge, "-lt": operator.lt, "-le": operator.le,
}  # fmt: skip


def _tested(words: list[str]) -> bool | None:
    """Evaluate a test such as ``[ a = b ]``, ``[[ a != b ]]``, ``[ -n a ]`` or ``[ 2 -gt 1 ]``; None if it is anything else."""
    if not words or words[0] not in ("[", "[["):
        return None
    inside = words[1:-1]
    if any("$" in word for word in inside):
        return None
    if inside and inside[0] in ("-n", "-z") and len(inside) <= 2:
        return (len(inside) == 2 and inside[1] != "") is (inside[0] == "-n")
    if len(inside) != 3:
        return None
    left, sign, right = inside
    if sign in ("=", "==", "!="):
        return (left == right) is (sign != "!=")
    whole = all(one.lstrip("-").isdigit() and len(one) < LONGEST_COUNT for one in (left, right))
    return bool(NUMBERS[sign](int(left), int(right))) if sign in NUMBERS and whole else None


def _taken(word: str, name: str | None, found: dict[str, Any]) -> str | None:
    """Process one word, an option name or the value of the preceding ``name``. Returns the option that still expects a value, if any."""
    if word.startswith("--"):
        name, equals, value = word[2:].rstrip(")").partition("=")
        name = name.replace("-", "_")
        found[name] = value if equals else True
        return None if equals else name
    if name is not None and found.get(name) is True and word.strip(")\"' ") and not re.match(r"\d?[<>|&]", word):
        closing = word.count(")") > word.count("(")
        found[name] = (word.strip("\"' ").removesuffix(")") if closing else word).strip("\"' ")
        return name if name in LISTS else None
    if name in LISTS and isinstance(found.get(name), str) and not re.match(r"\d?[<>|&;)]", word):
        found[name] += f" {word}"
        return name
    return None


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an unmatched quote: it spans lines, or is in a comment
        return line.split(" #")[0].replace('"', " ").replace("'", " ").split()


def _filled(text: str, known: _Variables) -> str:
    """Substitute variables and integer arithmetic."""

    def sum_of(match: re.Match[str]) -> str:
        inner = re.sub(
            r"[A-Za-z_]\w*",
            lambda name: name[0] if (value := known.used(name[0])) is None else value,
            _filled(match[1], known),
        )
        total = sum_of_whole(inner)
        return match[0] if total is None else str(total)

    text = _SUM.sub(sum_of, text)
    return _USED.sub(lambda use: known.used(use[1] or use[3]) or use[2] or use[0], text)


LONGEST_SUM = 200
"""Maximum length of an arithmetic expression in characters."""


def sum_of_whole(text: str) -> int | None:
    """Integer arithmetic with + - * / % ** and brackets, with shell semantics; None for anything else.

    >>> sum_of_whole("8 * (2 + 1) / 5"), sum_of_whole("15 * 10**12 / 8192"), sum_of_whole("9**99")
    (4, 1831054687, None)
    """
    if (
        not re.fullmatch(r"[\d\s+*/%()-]+", text)
        or len(text) > LONGEST_SUM
        or re.search(rf"\d{{{LONGEST_COUNT}}}|(^|[^\s\d)])\s*-\s*\d+\s*\*\*", text)  # -2**2 is 4 in a shell
    ):
        return None
    try:
        return int(value_of_expression(ast.parse(text.strip(), mode="eval").body, SHELL, lambda name: None))
    except (SyntaxError, ValueError, RecursionError):
        return None
