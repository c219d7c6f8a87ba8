"""The words of a measured row, and what they mean here: which profile, which kernel, which stack."""

from __future__ import annotations

import re
from dataclasses import replace

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.nodes import Node, load_node
from gpuhours.questions.validating.rows import Row
from gpuhours.software.profile import DEFAULT, Software, list_software, load_software

KERNELS = (
    (r"unfused|no flash|eager|naive|\bmath\b|fused softmax", "unfused"),
    (r"cudnn|transformer engine|^te$", "cudnn"),
    (r"(flash|fa)\D*4|(flash|fa)\D*3", "flash3"),
    (r"triton|xformers|mem\w*.efficient|(flash|fa)\D*1\b", "flash1"),
    (r"(flash|fa)\D*2", "flash2"),
    (r"flash", "flash"),
)
"""Words for attention kernels, first match first; "flash" alone means the stack's own."""
METHODS = (
    (r"2d|hybrid|usp|unified|double|a2a\W*p2p|loong", "hybrid"),
    (r"ulysses|a2a|all.?to.?all|heads?", "ulysses"),
    (r"all.?gather", "all-gather"),
)
"""Words for ways of sharing a sequence, first match first; every other one is a ring, and every published ring balances the mask."""
FRAMEWORKS = (
    (r"paxml|\bpax\b|praxis", "paxml"),
    (r"nemo.{0,12}24\.0[1-5]", "megatron-core-early"),
    (r"megatron-deepspeed.*(bigscience|2022)|bigscience", "megatron-deepspeed"),
    (r"longvila|mm-sp", "longvila"),
    (r"burst|bmtrain", "burstengine"),
    (r"ulysses", "deepspeed"),
    (r"neox", "deepspeed"),
    (r"megatron-lm \+ deepspeed$", "megatron-deepspeed"),
    (r"megatron-lm fork, schedule|zero.bubble", "zero-bubble"),
    (r"nemo framework 2023", "nemo-2023"),
    (r"hai-llm|dualpipe", "megatron-core-2026"),
    (r"\bmeta\b.*internal|llama.3.*(team|herd)", "llama-3"),
    (
        r"(recipe v|nemo |container )(24|25\.0[0-7])|(megatron-core|mcore) (202[345]|r?0\.([1-9]|1[01])\b)",
        "megatron-core-2024",
    ),
    (r"container (26\.(0[6-9]|1)|2[7-9])", "megatron-core-2026"),
    (r"megatron-core|megatron-bridge|nemo|mcore", "megatron-core"),
    (r"megatron-lm (19|20)?(19|2[012])\b", "megatron-2022"),
    (r"megatron-lm.*(202[4-9]|\b0\.\d+)|simumax", "megatron-core"),
    (r"megatron", "megatron-2023"),
    (r"(torchtitan|fsdp|ddp|torch).*(eager|no compile|without compile)", "fsdp2-eager"),
    (r"torchtitan|fms-fsdp|compile", "fsdp-compile"),
    (r"llm-foundry|composer|mosaic", "fsdp-eager"),
    (r"big_vision|\bflax\b", "flax"),
    (r"maxtext|jax|t5x|levanter|easylm|alpa|xla|tensorflow|gspmd", "jax"),
    (r"nanotron|picotron", "nanotron"),
    (r"megascale|vescale|megablocks|dualpipe|hai-llm|simumax|primus|transformer engine", "megatron-core"),
    (r"unsloth|nanogpt|llm\.c", "torch-compile"),
    (r"internevo|loong.?train|interntrain", "internevo"),
    (r"distflash|lightseq", "distflashattn"),
    (
        r"deepspeed|zero.?infinity|zero.?offload|accelerate|easycontext|colossal|\btrl\b|axolotl|llama.?factory|xtuner|swift",
        "deepspeed",
    ),
    (r"fsdp|metaseq|fairseq|fairscale|verl|veomni", "fsdp2-eager"),
    (r"timm|open.?clip|\bmae\b|videomae|apex|torch(vision)? 1\.", "torch-2022"),
    (r"lightning|litgpt|lit-gpt|torch|hugging|transformers|\bhf\b|peft|ddp|tutel|fastmoe", "torch-eager"),
)
"""Words in a framework's description -> the profile, first match first."""
FUSED_YEAR = 2023
"""From when PyTorch fuses attention and the optimiser's update (2.0, March 2023)."""
NETWORKS = (
    (r"\befa\b|\baws\b|p4d|p5\b", "efa"),
    (r"omni.?path", "omni-path"),
    (r"roce|ethernet|slingshot|\btcp\b|gpudirect-tcp", "ethernet"),
    (r"infiniband|\bib\b|\bndr\b|\bhdr\b|\bedr\b|\brdma\b", "infiniband"),
)
"""Words for what joins nodes -> ``hardware_specs/networks``, first match first."""
FINER = {
    "megatron-2022": ("megatron-deepspeed", "nemo-2023"),
    "megatron-core": ("megatron-core-2024", "megatron-core-2026", "megatron-core-early"),
    "jax": ("paxml", "flax"), "megatron-2023": ("zero-bubble",),
    "burstengine": ("megatron-2023", "deepspeed", "internevo"),
    "fsdp-eager": ("fsdp2-eager", "fsdp-compile", "deepspeed", "torch-eager"),
}  # fmt: skip
"""A class of stacks and the profiles that a framework's description may tell apart within it."""


def software_of(row: Row) -> tuple[Software, str]:
    """The profile of the row's stack, refined by the framework's description and the year, and a remark where it is not its own."""
    name, remark = _named(row)
    if name == "torch-eager" and (row.number("year") or FUSED_YEAR) < FUSED_YEAR:
        name = "torch-2022"
    return load_software(name), remark


def _named(row: Row) -> tuple[str, str]:
    """The name of the profile, and a remark where the row does not say it."""
    stated, described = (
        (row.word("software") or "").lower(),
        (row.word("framework") or row.word("method") or "").lower(),
    )
    found = profile_in(described)
    if stated in list_software():
        finer = found if found in FINER.get(stated, ()) else stated
        return "fsdp2-eager" if stated == "fsdp-eager" and finer != stated else finer, ""
    named = profile_in(stated)
    if named is not None:
        return named, f"software {stated!r} read as {named}"
    if found is not None:
        return found, f"software not named; {row.word('framework')!r} read as {found}"
    split = (row.positive("tp") or 1) > 1 or (row.positive("pp") or 1) > 1
    sharding = row.word("sharding") or "none"
    name = DEFAULT if split or sharding == "zero1" else "torch-eager" if sharding == "none" else "fsdp-compile"
    return name, f"software {stated or 'not stated'}: {name}"


def profile_in(text: str) -> str | None:
    """The profile that a description of a stack means, by ``FRAMEWORKS``, its name or an alias of it."""
    plain = text.strip().replace("_", "-").replace(" ", "-")
    if plain in list_software():
        return plain
    found = next((profile for pattern, profile in FRAMEWORKS if re.search(pattern, text)), None)
    return found or next((name for name in list_software() if plain and plain in load_software(name).aliases), None)


def kernel_in(text: str) -> str | None:
    """The attention kernel that a description means; "flash" where it does not say which."""
    return next((kernel for pattern, kernel in KERNELS if re.search(pattern, text.lower())), None)


def method_in(text: str) -> str:
    """The way of sharing a sequence that a description means, as ``layout.sequence_method`` writes it."""
    return next((method for pattern, method in METHODS if re.search(pattern, text.lower())), "zigzag")


def gpus_in_node(text: str, usual: int) -> int | None:
    """GPUs of a node, as a description says: the number before "GPU" or a chip's name; a number above the usual only where it is said
    to be a node's."""
    if "dgx-1" in text:
        return 8
    found = re.search(
        r"(\d+)[\s-]*(?:x\s*)?(?:nvidia\s+|amd\s+)?(?:gpus?\b|[avhbl]\d{2,3}|g[hb]\d{3}|mi\d{3}|rtx)", text
    )
    of_a_node = re.search(r"per node|/ ?node|-gpu node|dgx|node \(", text)
    if found is None or not 1 <= int(found[1]) <= 16 or (int(found[1]) > usual and not of_a_node):
        return None
    return int(found[1])


def node_of(row: Row, accelerator: str) -> Node:
    """The accelerator's usual node; the GPUs of a node where the row says so, and one host where all stand in it."""
    chip = load_accelerator(accelerator)
    node = load_node(chip.node, chip.path)
    text = (row.word("nodes_interconnect") or "").lower()
    count = gpus_in_node(text, node.gpus)
    if count is not None and node.link_domain <= 16 and count != node.gpus:
        node = replace(node, gpus=count, link_domain=count, nics=max(1, round(node.nics * count / node.gpus)))
    per_node = row.positive("gpus_per_node")
    if per_node is not None and per_node != node.gpus:
        count = int(per_node)
        node = replace(node, gpus=count, link_domain=count, nics=max(1, round(node.nics * count / node.gpus)))
    joined = (row.word("network") or text).lower()
    network = next((kind for pattern, kind in NETWORKS if re.search(pattern, joined)), None)
    if network is not None:
        node = replace(node, network=network)
    if "no nvls" in text or row.number("switch_reduction") == 0:
        node = replace(node, sharp=False)
    return node
