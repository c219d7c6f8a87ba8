"""The words of a measured row, and what they mean here: which profile, which kernel, which stack."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace

from gpuhours.hardware import Node, list_accelerators, load_accelerator, load_node
from gpuhours.software import DEFAULT, Software, list_software, load_software
from gpuhours.validation.rows import Row

DTYPES = {
    "bf16": "bf16", "bfloat16": "bf16", "bf16-mixed": "bf16", "bf16-true": "bf16", "fp16": "fp16", "float16": "fp16",
    "half": "fp16", "fp32": "fp32", "float32": "fp32", "tf32": "tf32", "fp8": "fp8", "mxfp8": "mxfp8", "nvfp4": "nvfp4",
    "fp4": "nvfp4", "nf4": "nf4", "int4": "nf4", "int8": "bf16",
}  # fmt: skip
"""Number formats as tables write them."""
KERNELS = {"unfused": "unfused", "flash1": "flash1", "flash2": "flash2", "flash3": "flash3", "fused-cudnn": "cudnn", "cudnn": "cudnn"}
"""Attention kernels as tables write them; "flash" alone means the stack's own."""
METHODS = {"ring": "zigzag", "ulysses": "ulysses", "hybrid": "hybrid", "2d": "hybrid", "zigzag": "zigzag", "all-gather": "all-gather"}
"""Ways of sharing a sequence; every published ring balances the causal mask."""
FRAMEWORKS = (
    (r"megatron-deepspeed.*(bigscience|2022)|bigscience", "megatron-deepspeed"),
    (r"longvila|mm-sp", "longvila"),
    (r"burst|bmtrain", "burstengine"),
    (r"ulysses", "deepspeed"),
    (r"megatron-lm \+ deepspeed$", "megatron-deepspeed"),
    (r"nemo framework 2023", "nemo-2023"),
    (r"hai-llm|dualpipe", "megatron-core-2026"),
    (r"(recipe v|nemo |container )(24|25\.0[0-7])", "megatron-core-2024"),
    (r"container (26\.(0[6-9]|1)|2[7-9])", "megatron-core-2026"),
    (r"megatron-core|megatron-bridge|nemo|mcore", "megatron-core"),
    (r"megatron-lm 202[12]", "megatron-2022"),
    (r"megatron", "megatron-2023"),
    (r"torchtitan|compile", "fsdp-compile"),
    (r"llm-foundry|composer|mosaic", "fsdp-eager"),
    (r"maxtext|paxml|jax|t5x|levanter|xla", "jax"),
    (r"nanotron|picotron", "nanotron"),
    (r"internevo|loongtrain|interntrain", "internevo"),
    (r"distflash|lightseq", "distflashattn"),
    (r"deepspeed|neox|accelerate|easycontext|colossal|trl|axolotl|hugging", "deepspeed"),
    (r"fsdp", "fsdp-eager"),
    (r"torch|litgpt|lightning|ddp|timm", "torch-eager"),
)
"""Words in a framework's description -> the profile, first match first."""
RELATED = {
    "megatron-lm": "megatron-2023", "megatron-2021": "megatron-2022", "megatron-2024": "megatron-core", "nemo": "megatron-core",
    "torchtitan": "fsdp-compile", "colossalai": "deepspeed", "colossal-ai": "deepspeed", "axolotl": "deepspeed",
    "litgpt": "torch-eager", "maxtext": "jax", "gpt-neox": "deepspeed", "llama-factory": "deepspeed", "unsloth": "torch-compile",
}  # fmt: skip


def accelerator_of(row: Row) -> tuple[str | None, str]:
    """The profile of the row's accelerator, or the nearest there is, and a remark where it is not its own."""
    text = row.word("accelerator") or row.word("gpu")
    if text is None:
        return None, ""
    name = text.lower().replace("_", "-").replace(" ", "-")
    known = list_accelerators()
    if name in known:
        return name, ""
    near = [one for one in known if name.startswith(one.split("-")[0])] or [one for one in known if one.split("-")[0] in name]
    if not near:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not near:
        return None, ""
    best = max(near, key=lambda one: difflib.SequenceMatcher(None, one, name).ratio() + ("sxm" in one) * 0.2)
    return best, f"accelerator {text!r} has no profile: {best}"


def software_of(row: Row) -> tuple[Software, str]:
    """The profile of the row's stack, refined by the framework's description, and a remark where it is not its own."""
    stated, described = (row.word("software") or "").lower(), (row.word("framework") or row.word("method") or "").lower()
    found = next((profile for pattern, profile in FRAMEWORKS if re.search(pattern, described)), None)
    if stated in list_software():
        finer = {"megatron-2022": ("megatron-deepspeed", "nemo-2023"), "megatron-core": ("megatron-core-2024", "megatron-core-2026"), "deepspeed": (), "jax": (),
                 "burstengine": ("megatron-2023", "deepspeed", "internevo")}  # fmt: skip
        return load_software(found if found in finer.get(stated, ()) else stated), ""
    if stated in RELATED:
        return load_software(RELATED[stated]), f"software {stated!r} has no profile: {RELATED[stated]}"
    if found is not None:
        return load_software(found), f"software not named; {row.word('framework')!r} read as {found}"
    near = difflib.get_close_matches(stated, list_software(), n=1, cutoff=0.6) if stated else []
    split = (row.positive("tp") or 1) > 1 or (row.positive("pp") or 1) > 1
    sharded = (row.word("sharding") or "") in ("zero2", "zero3")
    name = near[0] if near else ("fsdp-compile" if sharded and not split else DEFAULT)
    return load_software(name), f"software {stated or 'not stated'}: {name}"


def node_of(row: Row, accelerator: str) -> Node:
    """The accelerator's usual node; the GPUs of a node where the row says so, and one host where all stand in it."""
    chip = load_accelerator(accelerator)
    node = load_node(chip.node, chip.path)
    text = (row.word("nodes_interconnect") or "").lower()
    stated = re.search(r"(\d+)\s*(?:x|gpus?|-gpu)[^,;]*?(?:per node|nodes?\b)", text)
    if stated and 1 <= int(stated[1]) <= 16 and node.link_domain <= 16 and int(stated[1]) != node.gpus:
        count = int(stated[1])
        node = replace(node, gpus=count, link_domain=count, nics=max(1, round(node.nics * count / node.gpus)))
    per_node = row.positive("gpus_per_node")
    if per_node is not None and per_node != node.gpus:
        count = int(per_node)
        node = replace(node, gpus=count, link_domain=count, nics=max(1, round(node.nics * count / node.gpus)))
    if "no nvls" in text or row.number("switch_reduction") == 0:
        node = replace(node, sharp=False)
    return node
