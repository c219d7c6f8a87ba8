"""Rewrites program output and arguments as labelled pairs: logs, command lines, settings in a row.

    --lr 2e-4 --grad_accum 8                     lr: 2e-4; grad accum: 8
    world_size=64 dp=64 tp=1                     world size=64 ; dp=64 ; tp=1
    step 1000/143051 | tok/s/gpu 27860 | mfu .4  steps: 143051 | tok/s/gpu: 27860 | mfu: .4

No line break is added or lost, so that every figure keeps its line number.
"""

from __future__ import annotations

import re
from collections import Counter

_FLAG = re.compile(r"(?<![\w-])--?([A-Za-z][\w-]{1,40})[ =]+([\"']?[\d.][\w.+\-/]{0,24}[\"']?)(?![\w.])")
_LONG_FLAG = re.compile(r"--[A-Za-z]")
_IDENTIFIER = re.compile(r"(?<![\w/.])_?[A-Za-z][A-Za-z\d]{0,29}(?:_[A-Za-z][A-Za-z\d]{0,30}){1,5}(?=\s?[=:])")
"""``seq_len=4096``: a program's identifier, read as words."""
_IDENTIFIER_SAID = re.compile(
    r"(?<![\w/.-])([A-Za-z]{1,30}(?:_[A-Za-z][A-Za-z\d]{0,30}){1,7})(?: of| to| is| at|)[ ]{1,2}(?=\d)(?!\d{1,2}/)"
)
"""``with per_device_train_batch_size 1``: an identifier in a sentence."""
_DIGIT_GROUPS = re.compile(r"(?<=\d)_(?=\d{3}(?!\d))")
_SETTING = re.compile(r"(?<=[\w)\]])[ \t]+(?=[A-Za-z][\w.\-]{0,30}=[\w.])")
"""The gap between two settings, ``dp=64 tp=1``."""
_SET = re.compile(r"\b[A-Za-z][\w.\-]{0,30}=[\w.\-+/]{1,40}")
_SET_NAME = re.compile(r"(?<![\w/.=])[A-Za-z]{1,30}(?==[\w.])")
_CELL = re.compile(
    r"(?<=[|·])[ \t]*(?P<label>[A-Za-z][A-Za-z_/.\- ()]{0,30}?)[ \t]+(?P<value>[~≈]?[\d.][^|·\n=:]{0,24}?)[ \t]*(?=[|·\n]|$)"
)
_PROGRESS = re.compile(
    r"\b(step|iter|iteration|update|it)s?\s*[:=]?\s*\[?\s*[\d,]{1,15}\s?(?:/|of)\s{0,8}([\d,]{2,15})\]?", re.IGNORECASE
)
_EPOCHS = re.compile(r"\bepoch\s*[:=]?\s*\[?\s*[\d.]{1,8}\s?/\s?(\d{1,5})\]?", re.IGNORECASE)
_STAMP = re.compile(
    r"(?:(?:INFO|ERROR|WARN|WARNING|DEBUG)[ :]+)?"
    r"\[?\b(?:19|20)\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"|\[(?:\d\d[/-]\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d{1,6})?\]"
)
"""The timestamp of a printed line."""


PROGRAM_NAMES = {
    "parameters": "n params, num params, n parameters, num parameters, total params, model params",
    "layers": "n layer, n layers, num layers, num hidden layers, depth",
    "heads": "n head, n heads, num heads, num attention heads",
    "hidden size": "n embd, n embed, d model, hidden dim, model dim, embed dim, dim",
    "tokens/s/GPU": "tok s gpu, tokens per sec per gpu, tokens per second per gpu, tps per gpu, tgs, tok per s per gpu",
    "sequence length": "block size, sequence len, seq, seq len, seq length, max seq len, max seq length, max length, "
    "n ctx, ctx len, context length, "
    "max position embeddings, model max length",
    "micro batch size": "micro batch, micro batch size, microbatch size, device batch size, per device batch, per device batch size, "
    "per device train batch size, train micro batch size per gpu, batch size per gpu",
    "global batch size": "total train batch size, global batch, global batch size, total batch size, train batch size, "
    "effective batch size",
    "gradient accumulation": "gradient accumulation steps, grad accum, grad accum steps, accumulate grad batches, grad acc steps, "
    "update freq, accum iter",
    "GPUs": "n gpu, n gpus, num gpus, world size, n devices, num devices, gpu count, num processes",
    "nodes": "n nodes, num nodes, num machines",
    "GPUs per node": "gpus per node, nproc per node, devices per node, n gpus per node",
    "steps": "max iters, max steps, train iters, total steps, num steps, num train steps, training steps, global step, total iters",
    "epochs": "num epochs, n epochs, num train epochs, max epochs, total epochs",
    "warmup steps": "warmup iters, lr warmup iters, lr warmup steps, num warmup steps",
    "learning rate": "max lr, peak lr, base lr, init lr",
    "training time": "runtime, wall, wall time, walltime, run time, train time, total time, elapsed time",
    "training time (s)": "train runtime",
    "tokens": "tokens seen, total tokens, train tokens, num tokens, consumed tokens, n tokens",
    "training examples": "num examples, num train examples, num training examples, number of examples, num samples",
    "samples seen": "consumed samples, total samples",
    "tokens per batch": "wpb, words per batch, tokens per step, tokens per update, tokens per iter",
    "step time": "iter time, iteration time, time per iteration, time per step, sec per step",
    "tensor parallel": "tensor parallel size, tensor model parallel size, tp size, tensor parallel degree",
    "pipeline parallel": "pipeline parallel size, pipeline model parallel size, pp size, pipeline parallel degree",
    "peak memory": "gpu mem, gpu memory, max mem, peak mem, vram, cuda mem, max memory, max memory allocated, memory allocated",
    "GPU": "gpu name, gpu type, device name, accelerator",
}
"""Names that programs use for settings and counters (underscores as spaces), by the label that people use."""
_LABELS = {name.strip(): label for label, names in PROGRAM_NAMES.items() for name in names.split(",")}
SUFFIXES = {"h": "hours", "hrs": "hours", "hours": "hours", "s": "seconds", "sec": "seconds", "secs": "seconds", "ms": "milliseconds",
            "min": "minutes", "days": "days",
            "gb": "GB", "mwh": "MWh", "kwh": "kWh", "w": "W", "usd": "USD", "b": "B", "m": "M", "pct": "%"}  # fmt: skip
"""Units at the end of such a name: ``runtime_h``."""
COMPOUND_SUFFIXES = (
    (re.compile(r"(?: |^)(k?g|t)(?: ?co2(?:e|eq)?)?(?: per)? ([km])wh$"), r"\1 CO2e/\2Wh", "carbon intensity"),
    (re.compile(r"(?: |^)co2(?:e|eq)? (k?g|t|tonnes|tons)$"), r"\1 CO2e", "emissions"),
)
"""Units of several words at the end of such a name (``grid_gco2e_per_kwh``, ``co2_kg``), and what the name is without them."""
_SECTION = re.compile(r"^(?:train|perf|time|throughput|system|trainer|optim|model)/(?!loss)")
DEVICES = ("gpu", "node", "chip", "tpu", "device", "card")
"""``gpu_hours`` is one word."""
_JSON = re.compile(
    r"[\"']([A-Za-z_][\w/.\- ]{0,40})[\"']\s?:\s?(?:[\"']([^\"'\n]{0,80})[\"']|([-\d.][\w.+\-]{0,30})),?"
)


_PER_DEVICE = re.compile(r"(?<![\w_])train_batch_size", re.IGNORECASE)
"""If a total batch is also given, this is the batch of one device."""
_DEVICE_FLAG = re.compile(r"(?<![\w-])(--)batch[-_]size(?=[ =])")
"""The same option on a command line."""
_EVALUATION = re.compile(
    r"(?<![\w-])[\"']?(?:\w{1,20}_)?eval(?:uation)?_\w{1,30}[\"']?[ \t]{0,3}[:=][ \t]{0,3}[^\s,;|]{1,24},?"
)
"""``eval_batch_size: 8``: evaluation settings."""
_VALIDATION = re.compile(r"(?m)^[^\n]{0,200}\|[ \t]{0,4}valid(?:ation)?[ \t]{0,4}\|[^\n]{0,2000}$")
"""``| valid | epoch 041 | wpb 53921 |``: a validation line of fairseq."""
_DASHED = re.compile(r"(?<=\S) [-–—] (?=[A-Za-z][\w -]{0,24}: \S)")
"""``planned: 1,400 - spent: 1,320``: two labels on one line."""


_PRODUCT = re.compile(r"(?m)(?<=[\w\])])([ \t]{0,4}=[ \t]{0,4})(\d{1,6})[ \t]?\*[ \t]?(\d{1,6})(?=[ \t]{0,8}(?:#|$))")
"""``gradient_accumulation_steps = 4 * 8``: a setting given as a product."""
_ITERATION = re.compile(r"(?m)^([ \t>]{0,8}(?:iter|iteration|it|step)[ \t:]{1,3}(\d{1,9})\b)([^\n]{0,300})")
"""A line that a program printed at a step."""
_ITS_TIME = re.compile(r"\b(?:time|dt)[ :=]{1,2}(?=[\d.]{1,12} ?(?:ms|s|sec)\b)")
_PLAIN_BATCH = re.compile(r"(?<!\w)(?<!\w-)batch_size(?=\s?[=:])")


_NAMED_AGAIN = re.compile(r"\b([a-z]+(?:_[a-z]+)+) [A-Z]=(\d+)(?: \*)?")
"""``batch_size B=64 * seq_len T=1024``: a setting given by its name and its letter."""
_TIME_ALONE = re.compile(r"(?<=\|)[ \t]{1,4}([\d.]{1,12} ?ms)(?=[ \t]{1,4}\|)")
"""``| 295.07 ms |`` in a line printed at a step: the time of that step."""


def _at_a_step(found: re.Match[str]) -> str:
    """The line with its time labelled as a step time; the rest of the line is dropped for step 0, which compiles and warms up."""
    return found[1] + (
        "" if found[2] == "0" else _TIME_ALONE.sub(r" step time: \1", _ITS_TIME.sub("step time: ", found[3]))
    )


_SLURM_TOTAL = re.compile(r"\bgres/gpu(?::\w{1,20})?=(\d{1,6})\b")
"""``gres/gpu:h100=192``: the total number of GPUs allocated to a Slurm job."""
_SLURM_NODE = re.compile(r"--gres[= ]gpu(?::[A-Za-z]\w{0,20})?:(\d{1,2})\b")
"""``--gres=gpu:h100:8``: the GPUs per node that a Slurm job requested."""


def with_allocation(text: str) -> str:
    """Writes the GPUs that Slurm gave to a job, in total or on each node, as labelled pairs."""
    if "gres" not in text:
        return text
    return _SLURM_NODE.sub(r"; GPUs per node: \1 ;", _SLURM_TOTAL.sub(r"; GPUs: \1 GPUs ;", text))


_CARD_EMISSIONS = re.compile(
    r"(?m)^([ \t]{0,12})emissions:[ \t]*[\"']?(\d[\d.]{0,15})[\"']?(?=[ \t]*(?:#[ \t]*(?:in[ \t]+)?g(?:rams)?\b.*)?$)"
)
"""``co2_eq_emissions: emissions: 2085942``: the header of a model card gives grams."""
_SOURCE_LINE = re.compile(
    r"(?m)^\[[A-Z]{3,8}\|[\w./-]{1,60}:\d{1,6}\][^\S\n]{0,4}(?:\d{4}-\d\d-\d\d[ T][\d:,.]{8,16}[^\S\n]{0,4})?(?:>>)?[^\S\n]{0,4}"
)
"""``[INFO|trainer.py:2131] >>``: the line of code that printed the message."""
_GLOG_LINE = re.compile(
    r"(?m)^[IWEF]\d{4} \d\d:\d\d:\d\d(?:\.\d{1,6})?(?: {1,6}\d{1,9})? [\w/]{1,60}\.(?:py|cc)(?::\d{1,6}\]|:)[^\S\n]?"
)
"""``I0214 09:11:02 pyconfig.py:``: the same, as absl and glog print it."""
_LABEL_ASIDE = re.compile(r"([A-Za-z][A-Za-z -]{3,40}) \([^()\n\d]{3,60}\) = (\d)")
"""``Total train batch size (w. parallel & accumulation) = 128``: a remark inside a label."""
_KEY = re.compile(
    r"(?m)^([ \t]{0,60}(?:[a-z]{1,20}:)?)[ \t]{0,60}(?<![\w/.])"
    r"([A-Za-z]{2,}(?:[/_.][A-Za-z\d]+)+)[ \t]+(\d[\d.,]*(?:e[-+]?\d+)?)(?=[ \t]*$)"
)
"""``wandb:  perf/tokens_per_sec 1321005``: the key and value of a summary."""


_BATCH_OF_ALL = re.compile(
    r"(?i)(\bbatch(?: size)?(?: of| is|:)? \d{1,6} per (?:GPU|device|card|process))"
    r"(?: ?[x×*] ?\d{1,6}(?: GPUs| devices| cards)?)? ?= ?(\d{1,7})\b"
)
"""``batch 64 per GPU = 256``: the batch of all devices together."""
_STEP_SECONDS = re.compile(r"(?m)(\bcompleted step: \d{1,9},) seconds: ([\d.]{1,12})")
_STEP_TOKENS = re.compile(r"(?i)\bper (?:train |training )?step: ?total tokens:? (\d{1,12})")
"""``completed step: 41200, seconds: 8.001`` and ``Per train step: total tokens 8388608``: the format of MaxText."""
_SLASHED = re.compile(
    r"(?m)^([^\S\n]{0,8}(?:[-*•] )?)([A-Za-z][A-Za-z-]{2,20}) ?/ ?([A-Za-z][A-Za-z-]{2,20})((?: [A-Za-z-]{2,20}){0,3})[ ]?[:=][ ]?"
    r"([~≈]?\d[\d.,]{0,12} ?[A-Za-z]{0,9}) ?/ ?([~≈]?\d[\d.,]{0,12} ?[A-Za-z]{0,9})[ .;]{0,3}$"
)
"""``Total / activated parameters: 41B / 5.2B``: two labels that share a noun, and their two values."""


_BARE_UTILISATION = re.compile(
    r"\b[MH]FU(?: of| is| was| ?[:=])? {1,3}\d{2}(?:\.\d{1,3})?(?=\s*(?:[|·;)]|[,.]?\s*$|, ?[A-Za-z]))",
    re.IGNORECASE | re.MULTILINE,
)
"""``mfu: 48.20 | total time: 7.9m``: a utilisation of two digits without its percent sign, as nanochat prints it."""


def _slashes_apart(found: re.Match[str]) -> str:
    """Splits such a line into two labelled pairs."""
    return f"{found[1]}{found[2]}{found[4]}: {found[5]}; {found[3]}{found[4]}: {found[6]}"


def with_pairs(text: str, *, total_batch: bool = False, accumulates: bool = False) -> str:
    """Rewrites program output and arguments in ``text`` as ``label: value``.

    ``total_batch``: the same program gives a total batch elsewhere, so a plain batch is that of one device; ``accumulates``: it accumulates
    gradients over several plain batches.
    """
    if total_batch:
        text = _DEVICE_FLAG.sub(r"\1micro_batch_size", _PER_DEVICE.sub("micro_batch_size", text))
    if accumulates:
        text = _PLAIN_BATCH.sub("micro_batch_size", text)
    return _names_spelled(_pairs_of_logs(_lines_of_programs(text)))


def _lines_of_programs(text: str) -> str:
    """The text with what one program prints or takes (iterations, source lines, Slurm's requests, steps) as labels and values."""
    text = _BARE_UTILISATION.sub(r"\g<0>%", text)
    text = _PRODUCT.sub(lambda found: f"{found[1]}{int(found[2]) * int(found[3])}", text)
    text = _ITERATION.sub(_at_a_step, text)
    text = _GLOG_LINE.sub("; ", _SOURCE_LINE.sub("; ", text))
    text = with_allocation(text)
    text = _LABEL_ASIDE.sub(r"\1 = \2", text)
    if "=" in text:
        text = _BATCH_OF_ALL.sub(r"\1; global batch: \2", text)
    if "completed step" in text or "total tokens" in text:
        text = _STEP_TOKENS.sub(r"tokens per batch: \1 tokens", _STEP_SECONDS.sub(r"\1; \2 seconds per step;", text))
    return text


def _pairs_of_logs(text: str) -> str:
    """The text with pairs of any log (slashed, JSON, rows, flags, progress) as ``label: value``, without those of validation."""
    if "/" in text:
        text = _SLASHED.sub(_slashes_apart, text)
    text = _KEY.sub(r"\1; \2: \3", text)
    if "valid" in text:
        text = _VALIDATION.sub("", text)
    if "eval" in text:
        text = _EVALUATION.sub("", text)
    if ": " in text:
        text = _DASHED.sub(" ; ", text)
    if _JSON.search(text):
        text = _JSON.sub(lambda pair: f"; {_label(pair[1])}: {pair[2] or pair[3]};", text)
    if ":" in text:
        text = _STAMP.sub(_stamp, text)
    if _ROW_OF_PAIRS.search(text):
        text = "\n".join(_pairs_apart(line) for line in text.split("\n"))
    if _LONG_FLAG.search(text):
        text = _FLAG.sub(lambda flag: f"; {_label(flag[1])}: {flag[2]};", text)
    if "/" in text or " of " in text:
        text = _PROGRESS.sub(r"steps: \2", text)
        text = _EPOCHS.sub(r"epochs: \1", text)
    return text


def _names_spelled(text: str) -> str:
    """The text with settings and cells apart and names of variables in words."""
    if "=" in text:
        text = "\n".join(_settings(line) for line in text.split("\n"))
    if "_" in text:
        text = _DIGIT_GROUPS.sub("", text)
        text = _IDENTIFIER.sub(lambda name: _label(name[0]), text)
        text = _IDENTIFIER_SAID.sub(lambda name: f"{_label(name[1])} = ", text)
    if "|" in text or "·" in text:
        text = "\n".join(_cells(line) for line in text.split("\n"))
    return text


_TIME_AND_MEAN = re.compile(
    r"\b(?:batch[ _])?time:? {1,3}[\d.]{1,10} ?s?(?:, {0,3}[\d.]{1,12} ?/s)? {1,3}\( ?([\d.]{1,10}) ?s?(?:, {0,3}([\d.]{1,12}) ?/s)? ?\)",
    re.IGNORECASE,
)
"""``Time: 0.384s, 2666.67/s (0.386s, 2652.85/s)``: a step's time and rate, with their running means in brackets."""


_BAR = re.compile(
    r"(?m)^.{0,60}?\d{1,3}%\|[^|\n]{0,120}\|[ ]{1,8}(\d{1,9})/(\d{1,9})[ ]"
    r"\[(?:(\d{1,4}):)?(\d{1,2}):(\d\d)<[\d:?]{1,12}, {1,3}([\d.]{1,9})(s/it|it/s)[^\]\n]{0,200}\]"
)
"""``34%|###  | 1000/2928 [2:27:21<4:44:02,  8.84s/it]``: a progress bar with its count, elapsed time and pace."""


_MARK = re.compile(r"(?m)^\[[A-Za-z][\w.-]{1,20}\](?=[ \t]|$)")


def without_line_marks(text: str) -> str:
    """Removes the mark that one program puts before most lines of a text: ``[trainer]   GPU-hours   9,216``."""
    marks = Counter(_MARK.findall(text)) if "[" in text else Counter()
    mark, times = marks.most_common(1)[0] if marks else ("", 0)
    filled = sum(not line.isspace() for line in text.splitlines() if line)
    return re.sub(rf"(?m)^{re.escape(mark)}", "", text) if times > 3 and 2 * times > filled else text


def with_bars(text: str) -> str:
    """Puts the last progress bar of the longest count into words and removes all others: loading, evaluation and earlier steps."""
    found = list(_BAR.finditer(text)) if "%|" in text else []
    if not found:
        return text
    longest = max(int(bar[2]) for bar in found)
    chosen = [bar for bar in found if int(bar[2]) == longest][-1]

    def told(bar: re.Match[str]) -> str:
        if bar.start() != chosen.start():
            return ""
        pace = float(bar[6]) if bar[7] == "s/it" else 1 / max(float(bar[6]), 1e-9)
        took = _clock_words(bar[3], bar[4], bar[5]) if bar[1] == bar[2] else ""
        if bar[0].lstrip().lower().startswith("epoch"):
            return f"step time: {pace:.6g} seconds per step;" + (f" time per epoch: {took};" if took else "")
        return f"steps: {bar[2]}; step time: {pace:.6g} seconds per step;" + (
            f" training time: {took};" if took else ""
        )

    return _BAR.sub(told, text)


def _clock_words(hours: str | None, minutes: str, seconds: str) -> str:
    """``2:27:21`` in words."""
    parts = ((hours, "hours"), (minutes, "minutes"), (seconds, "seconds"))
    return ", ".join(f"{int(number)} {unit}" for number, unit in parts if number and int(number))


def with_mean_time(text: str) -> str:
    """Keeps only the last running mean, as the step time: the first steps compile and warm up."""
    found = list(_TIME_AND_MEAN.finditer(text)) if "/s" in text or "ime" in text else []
    if not found:
        return text
    last = found[-1]
    before, behind = text[: last.start()], text[last.end() :]
    rate = f"; samples per second: {last[2]} samples/s" if last[2] else ""
    return f"{_TIME_AND_MEAN.sub('', before)}; step time: {last[1]} seconds per step {rate};{behind}"


def in_grams(text: str) -> str:
    """``text`` with the unit (grams) added to the emissions in a model card's header."""
    return _CARD_EMISSIONS.sub(r"\1emissions: \2 g CO2e", text) if "co2_eq_emissions" in text else text


def _stamp(found: re.Match[str]) -> str:
    """A timestamp at the start of a line begins a new sentence; any other becomes a space."""
    begins = found.start() == 0 or found.string[found.start() - 1] == "\n"
    return ";" if begins else " "


def _label(name: str) -> str:
    """The label for a program's setting: ``per_device_batch_size -> micro batch size``, ``_runtime_h -> training time (hours)``."""
    words = re.sub(r"[_\- ]+", " ", _SECTION.sub("", name)).strip()
    for suffix, told, meant in COMPOUND_SUFFIXES:
        if found := suffix.search(words.lower()):
            return f"{words[: found.start()].strip() or meant} ({found.expand(told)})"
    stem, _, last = words.lower().rpartition(" ")
    unit = SUFFIXES.get(last, "") if stem and stem not in DEVICES else ""
    plain = stem if unit else words.lower()
    label = _LABELS.get(words.lower()) or _LABELS.get(plain) or (plain if unit else words)
    return f"{label} ({unit})" if unit else label


def _settings(line: str) -> str:
    """Separates two or more ``name=value`` settings on one line."""
    if len(_SET.findall(line)) < 2:
        return line
    line = _NAMED_AGAIN.sub(r"\1=\2", line)
    line = _SET_NAME.sub(lambda name: _label(name[0]) if name[0].lower() in _LABELS else name[0], line)
    return f"{_SETTING.sub(' ; ', line)} ;"


_ROW_OF_PAIRS = re.compile(r"\w: {1,3}[\d.,]+\S* {1,4}\w{1,20}: {1,3}[\d.,]+")
_NEXT_PAIR = re.compile(r"(?<=[\w%)]) {1,4}(?=[A-Za-z]\w{0,20}: {1,3}[\d.])")
_PRINTED = re.compile(r"(?<=; )(tps|tflops|mem|memory)(?=: )", re.IGNORECASE)
COUNTERS_PRINTED = {"tps": "tokens/s/GPU", "tflops": "TFLOP/s per GPU", "mem": "peak memory", "memory": "peak memory"}


def _pairs_apart(line: str) -> str:
    """``step: 500  tps: 7,708  mfu: 40%``: splits a line of counters."""
    if len(_NEXT_PAIR.findall(line)) < 2:
        return line
    line = _NEXT_PAIR.sub(" ; ", line)
    return _PRINTED.sub(lambda name: COUNTERS_PRINTED[name[0].lower()], line)


def _cells(line: str) -> str:
    """``| loss 2.33 | mfu 0.25``: adds a colon to segments made of a name and a number."""
    if sum(line.count(mark) for mark in "|·") < 2:
        return line
    return _CELL.sub(_told_cell, line)


def _told_cell(found: re.Match[str]) -> str:
    """Such a segment with its colon; an epoch is the one the line was printed in, not a number of epochs."""
    if found["label"].lower() in ("epoch", "ep"):
        return f" at epoch {found['value']} "
    return f" {_label(found['label'])}: {found['value']} "
