"""Valid inputs for each surface, which ``hostile`` breaks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gpuhours.inputs.yaml_files import read_yaml_text
from gpuhours.questions.calibrating.formats import formats
from gpuhours.questions.interchange.exporting import export
from gpuhours.run.spec import from_dict

HERE = Path(__file__).parents[1]
PUBLISHED = HERE.parent / "estimator" / "gpuhours" / "published"
EXAMPLES = HERE.parent / "estimator" / "gpuhours" / "examples"
SPECIFICATIONS = HERE.parent / "hardware_specs"


@dataclass(frozen=True)
class Seed:
    """A valid command and the file it reads, which is the part that gets broken."""

    arguments: tuple[str, ...]
    name: str = "r.yaml"
    content: str = ""

    @property
    def prose(self) -> bool:
        """Whether the file is prose."""
        return self.name.endswith((".txt", ".html", ".tex", ".md"))


def seeds() -> dict[str, list[Seed]]:
    """Return surface -> valid inputs."""
    runs, examples = (
        [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))]
        for folder in (HERE / "runs", EXAMPLES)
    )
    return {
        "runs": [
            Seed((*words, "r.yaml", *more), "r.yaml", run)
            for run in (*runs, STAGED, KNOWN, FED)
            for words, more in (
                (["estimate"], []), (["estimate"], ["--json"]), (["estimate"], ["--explain", "mfu"]), (["report"], ["-o", "o.html"]),
                (["trace"], ["--json"]), (["trace"], ["-o", "t.json"]), (["export"], ["--to", "megatron"]),
                (["export"], ["--to", "nemo", "--json"]), (["plan"], ["--gpus", "8"]), (["compare"], ["r.yaml", "--json"]),
                (["sweep"], ["--vary", "hardware.gpus=64,128"]), (["compare"], ["r.yaml"]),
            )
        ],
        "settings": [
            Seed(("estimate", "r.yaml", *more), "r.yaml", run)
            for run in (*runs, STAGED, KNOWN, FED) for more in ([], ["--json"])
        ],
        "words": list(flags()),
        "texts": list(texts()),
        "tables": list(tables()),
        "profiles": list(profiles()),
        "documents": [
            Seed(("reproduce", "d.yaml", *more), "d.yaml", path.read_text(encoding="utf-8"))
            for path in sorted((PUBLISHED / "documents").glob("*.yaml")) for more in ([], ["--json"])
        ],
        "configs": [
            Seed(("models", "show", "config.json", *more), "config.json", json.dumps(json.loads(line)["config"], indent=1))
            for line in (HERE / "architecture" / "hugging_face_configs.jsonl").read_text(encoding="utf-8").splitlines()
            for more in ([], ["--json"])
        ],
        "other code": [
            Seed(("import", name, *more), name, content)
            for run in (runs[0], *examples) for name, content in imported(run)
            for more in (["-o", "i.yaml", "--force"], ["--json"], ["--model", "llama-3-8b", "--gpus", "64"])
        ],
        "pull requests": [
            Seed(("ci", *more), "r.yaml", run)
            for run in (*runs, *examples) for more in ([], ["--json"], ["--budget", "1M USD", "-o", "c.md"], ["r.yaml"])
        ],
        "logs": [*every_log(), *(
            Seed((*words, *more), name, (HERE / "steps" / source).read_text(encoding="utf-8"))
            for words, name, source in (
                (("watch", "l.log", "--once", "--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--gpus", "64", "--tokens", "1T"),
                 "l.log", "train.log"),
                (("calibrate", "o.csv", "-o", "s.yaml"), "o.csv", "own-steps.csv"),
                (("estimate", "--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--gpus", "64", "--tokens", "1T", "--set", "site=s.yaml"),
                 "s.yaml", "site.yaml"),
            )
            for more in ([], ["--json"])
        )],
    }  # fmt: skip


STAGED = """name: staged
model: llama-3-8b
hardware: {accelerator: h100-sxm-80gb, gpus: 256}
training: {global_batch: 1024}
layout: {tensor: 4, sharding: zero1}
stages:
- data: {tokens: 1T, seq_len: 8192}
- data: {tokens: 50B, seq_len: 65536}
  training: {global_batch: 64}
  layout: {context: 8, sequence_method: ring}
"""
KNOWN = """name: known
model: {params: 70B}
data: {tokens: 2T}
hardware: {accelerator: a100-sxm-80gb, gpus: 2048}
known: {gpu_hours: 1.7M, goodput: 0.95}
cost: {price: 2 USD/GPU-hour, country: France, year: 2024, pue: 1.1}
assumptions:
  data.seq_len: {value: 4096, low: 2048, high: 8192, reason: usual}
"""
FED = """name: fed
model:
  vision: {name: siglip-so400m-14-384, trainable: frozen}
  bridge: {kind: cross-attention, every: 4, resampler: {queries: 64, heads: 16}}
  language: {name: llama-3-8b, trainable: frozen}
data: {video_hours: 10k, fps: 1 FPS, frames: 32, resolution: 384, text_tokens: 128, longest_frames: 64}
input: {decoder: cpu, stored_fps: 30 FPS, cores_per_gpu: 16, storage_bandwidth: 10 GB/s, sample_bytes: 5 MB}
training: {global_batch: 256}
hardware: {accelerator: h100-sxm-80gb, gpus: 64}
"""
CLAIMS = """name: a
facts: {accelerator: a100-sxm-80gb, country: China}
claims:
- {quantity: wall_clock, value: approximately 3 months}
- {quantity: gpu_hours, value: 1.8M GPU-hours}
- {quantity: gpus, value: 1024}
- {quantity: parameters, value: 30B, quote: a model of 30B, place: line 3}
- {quantity: tokens, value: 500B}
"""
PAGE = """<html><head><style>p{}</style><script>var a=1e308</script></head><body><h1>A model</h1><p>TEXT</p><table>
<tr><th>Model</th><th>GPUs</th><th>Days</th></tr><tr><td>A</td><td>2,048</td><td>21</td></tr><tr><td colspan=3>65B&nbsp;&#8239;params
&times; 10<sup>12</sup> tokens</td></tr></table><math><mn>3</mn><mo>&#215;</mo><msup><mn>10</mn><mn>23</mn></msup></math>
FLOPs</body></html>
"""
SOURCE = r"""\documentclass{article}\newcommand{\gpus}{1{,}024}\begin{document}\section{Training} TEXT We train on \gpus{}
NVIDIA A100 80GB GPUs for $45$ days\footnote{A MFU of $44.5\%$}.\begin{table}\begin{tabular}{lrr}\toprule
Model & Params & GPU-hours \\ \midrule A & 7B & 82{,}432 \\ B & $65\times10^{9}$ & \multicolumn{1}{r}{1{,}022{,}362} \\ \bottomrule
\end{tabular}\caption{Cost.}\end{table}% a comment
The global batch is $4\,\mathrm{M}$ tokens; $1.4\times 10^{12}$ tokens in total.\input{x}\cite{a}\end{document}
"""
MEASURED = """title: t
source: somewhere
models:
  m: {kind: decoder, layers: 2, hidden: 256, heads: 4, vocab: 1000}
run:
  training: {dtype: bf16}
  hardware: {accelerator: h100-sxm-80gb, gpus: 1}
  software: torch-eager
rows:
- id: a
  step_time: 238.0 ms
  predicted_blind: 260.7 ms
  allocated: 32.6 GB
  run: {model: m, data: {seq_len: 128}, training: {global_batch: 2}}
- id: b
  step_time: 0.1
  run: {model: llama-3.2-1b, data: {seq_len: 128}, training: {global_batch: 2}}
"""


def flags() -> Iterator[Seed]:
    """Commands without a file of their own."""
    quick = ("--model", "llama-3-8b", "--tokens", "1T", "--gpu", "h100-sxm-80gb")
    for line in (
        ("init", *quick), ("schema", "run"), ("prices", "--gpu", "h100", "--provider", "AWS"), ("hardware", "show", "h100-sxm-80gb"),
        ("software", "show", "megatron-core"), ("estimate", *quick, "--mfu", "40%"), ("models", "show", "mae-l", "--resolution", "224"),
        ("models", "show", "llama-3-8b", "--frames", "8", "--text-tokens", "128", "--json"), ("init", "--example", "lora"),
        ("estimate", "--params", "7B", "--epochs", "2", "--mfu", "44%", "--batch", "512", "--steps", "1000", "--gpus", "512", "--json"),
        ("estimate", *quick, "--gpus", "64", "--days", "30", "--precision", "fp8", "--sharding", "zero1"), ("models",), ("hardware",),
        ("estimate", *quick, "--gpus", "64", "--by", "2027-01-01", "--budget", "1M USD"), ("plan", *quick, "--gpus", "8,16", "--json"),
        ("sweep", *quick, "--vary", "hardware.gpus=64,128", "--vary", "layout.tensor=1..8", "--where", "mfu > 0.3"),
        ("sweep", *quick, "--vary", "hardware.gpus=64..256:64", "--minimise", "cost", "-o", "s.csv", "--force"),
        ("compare", *quick, "--gpus", "64", "--gpu", "h200-sxm-141gb", "--json"), ("reproduce", "list"), ("models", "types"),
        ("models", "types", "--json"), ("models", "list", "--json"), ("hardware", "list"), ("software", "list", "--json"),
        ("estimate", *quick, "--days", "45", "--json"), ("estimate", *quick, "--gpus", "64", "--observed", "step_time=9.8s"),
        ("estimate", *quick, "--gpus", "8", "--qlora", "8"), ("trace", *quick, "--gpus", "16", "-o", "t.json"), ("schema", "claims"),
        ("report", *quick, "--gpus", "16", "-o", "r.html"), ("estimate", *quick, "--gpu-hours", "1.8M", "--explain", "gpu_hours"),
    ):  # fmt: skip
        yield Seed(line)


def texts() -> Iterator[Seed]:
    """Papers, as plain text, Markdown and HTML, and claims taken from one."""
    for path in sorted((HERE / "texts").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        for more in ((), ("--json",), ("-o", "c.yaml", "--markdown", "m.md", "--html", "h.html")):
            yield Seed(("check", "p.txt", *more), "p.txt", text)
        yield Seed(("check", "p.html"), "p.html", f"<html><body><p>{text}</p></body></html>")
        yield Seed(
            ("check", "p.tex", "--json"),
            "p.tex",
            f"\\documentclass{{article}}\\begin{{document}}{text}\\end{{document}}",
        )
        for more in ((), ("--json",), ("-o", "c.yaml", "--markdown", "m.md", "--html", "h.html")):
            yield Seed(("check", "p.html", *more), "p.html", PAGE.replace("TEXT", text[:1500]))
            yield Seed(("check", "p.tex", *more), "p.tex", SOURCE.replace("TEXT", text[:1500]))
        yield Seed(("check", "p.pdf"), "p.pdf", pdf(text))
        yield Seed(("check", "papers", "--json"), "papers/p.txt", text)
    for more in ((), ("--json",), ("-o", "o.yaml", "--markdown", "m.md")):
        yield Seed(("check", "c.yaml", *more), "c.yaml", CLAIMS)


def pdf(text: str) -> str:
    """Return the beginning of a text as the file of a PDF of one page."""
    shown = text[:2700].encode("ascii", "replace").decode().replace("\\", "/").replace("(", "[").replace(")", "]")
    lines = " ".join(f"({shown[start : start + 90]}) Tj T*" for start in range(0, len(shown), 90)).replace("\n", " ")
    body = f"BT /F1 10 Tf 50 780 Td 12 TL {lines} ET"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(body)} >>\nstream\n{body}\nendstream", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )  # fmt: skip
    file, starts = "%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        starts.append(f"{len(file):010} 00000 n \n")
        file += f"{number} 0 obj\n{one}\nendobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{''.join(starts)}trailer << /Size {len(objects) + 1} /Root 1 0 R >>\n"
    return f"{file}{table}startxref\n{len(file)}\n%%EOF\n"


def every_log() -> Iterator[Seed]:
    """A log of twelve lines in every known format, watched and calibrated on."""
    run = (
        "--model",
        "llama-3-8b",
        "--gpu",
        "h100-sxm-80gb",
        "--gpus",
        "64",
        "--tokens",
        "1T",
        "--batch",
        "512",
        "--seq-len",
        "4096",
    )
    for one in formats().lines:
        for words in (("watch", "l.log", "--once"), ("calibrate", "l.log", "-o", "s.yaml")):
            yield Seed((*words, *run), "l.log", f"{one.example}\n" * 12)


def tables() -> Iterator[Seed]:
    """A few rows of published runs."""
    for words, name in ((("check", "t.csv"), "run_totals.csv"), (("validate", "--runs", "t.csv"), "runs.csv"),
                        (("validate", "--totals", "t.csv"), "run_totals.csv")):  # fmt: skip
        rows = list(csv.reader(io.StringIO((PUBLISHED / name).read_text(encoding="utf-8"))))
        for start in range(1, len(rows) - 3, 5):
            out = io.StringIO()
            csv.writer(out).writerows([rows[0], *rows[start : start + 3]])
            for more in ((), ("--json",)):
                yield Seed((*words, *more), "t.csv", out.getvalue())
    for more in ((), ("--json",), ("--memory-only",)):
        yield Seed(("validate", "--runs", "m.yaml", *more), "m.yaml", MEASURED)


def profiles() -> Iterator[Seed]:
    """User-defined accelerators and nodes."""
    for path in sorted((SPECIFICATIONS / "accelerators").glob("*.yaml")):
        content = path.read_text(encoding="utf-8")
        yield Seed(("hardware", "show", "hw.yaml"), "hw.yaml", content)
        yield Seed(
            ("estimate", "--model", "llama-3-8b", "--gpu", "hw.yaml", "--gpus", "16", "--tokens", "1T", "--json"),
            "hw.yaml",
            content,
        )
    for path in sorted((SPECIFICATIONS / "nodes").glob("*.yaml")):
        content = path.read_text(encoding="utf-8")
        yield Seed(("hardware", "show", "hw.yaml", "--json"), "hw.yaml", content)
        yield Seed(("estimate", "--model", "llama-3-8b", "--gpu", "h100-sxm-80gb", "--set", "hardware.node=hw.yaml", "--tokens", "1T"),
                   "hw.yaml", content)  # fmt: skip


def imported(run: str) -> list[tuple[str, str]]:
    """Files for other training code, as our export writes them."""
    names = {
        "megatron": "m.sh", "torchtitan": "t.toml", "deepspeed": "d.json", "accelerate": "a.yaml", "nemo": "n.yaml", "axolotl": "x.yml",
    }  # fmt: skip
    described = from_dict(read_yaml_text(run, "r.yaml").data)
    return [(name, export(described, code).text) for code, name in names.items()]
