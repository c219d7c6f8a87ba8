"""The words of a measured row, and what they mean here: which stack, which kernel, which node."""

from __future__ import annotations

import re
from dataclasses import replace

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.nodes import Node, load_node
from gpuhours.questions.validating.rows import Row
from gpuhours.software.matching import ALONE, SHARDED, SPLIT, StatedStack, match
from gpuhours.software.profile import Software, load_software

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
NAMED = (
    (r"q-?lora", {"lora": "1", "dtype": "nf4"}),
    (r"\blora\b", {"lora": "1"}),
    (r"activations? offload", {"offload": "activations"}),
    (r"(cpu|optimi[sz]er)[ -]offload", {"offload": "optimizer"}),
    (r"8-?bit adam", {"optimizer": "adamw-8bit"}),
    (r"chunked (cross.?entropy|loss)|liger|cut cross", {"loss_blocks": "8"}),
)
"""What stands in a model's or recipe's name only -> the columns that it fills where they are blank; all that are found."""
OPTIMISERS = (
    (r"8-?bit|int8", "adamw-8bit"),
    (r"ada-?factor", "adafactor"),
    (r"muon", "muon"),
    (r"soap|shampoo", "soap"),
    (r"galore", "galore"),
    (r"lion", "lion"),
    (r"sgd.*momentum|momentum.*sgd|nesterov|lars", "sgd-momentum"),
    (r"sgd", "sgd"),
    (r"unfused|not fused|foreach|for.?loop|adamw_torch$", "adamw-unfused"),
)
"""Words for optimisers -> ``hardware.optimisers``, first match first; every other one keeps and moves what AdamW does (LAMB does)."""
NETWORKS = (
    (r"\bp5\b(?!en)", "efa-p5"),
    (r"\befa\b|\baws\b|p4d", "efa"),
    (r"omni.?path", "omni-path"),
    (r"roce|ethernet|slingshot|\btcp\b|gpudirect-tcp", "ethernet"),
    (r"infiniband|\bib\b|\bndr\b|\bhdr\b|\bedr\b|\brdma\b", "infiniband"),
)
"""Words for what joins nodes -> ``hardware_specs/networks``, first match first."""


def software_of(row: Row) -> tuple[Software, str]:
    """The profile of the row's stack (``software.matching``), and a remark where the row does not say it by name."""
    matched = match(stack_of(row))
    return load_software(matched.profile), matched.remark


def stack_stands_in(row: Row) -> bool:
    """Whether the row's profile only stands for a stack that nobody measured."""
    return match(stack_of(row)).stands_in


def stack_said(row: Row) -> bool:
    """Whether the row says anything of its stack: one that it does not name is as likely one of those that were measured."""
    return any(row.word(column) for column in ("software", "framework", "method"))


def with_named(row: Row) -> tuple[Row, str]:
    """The row with its blank columns filled from its names (``NAMED``), and a remark on what was read there."""
    text = f"{row.word('model_name') or ''} {row.word('framework') or ''}".lower()
    named: dict[str, str] = {}
    for words, cells in NAMED:
        if re.search(words, text):
            named |= {
                column: value for column, value in cells.items() if row.word(column) is None and column not in named
            }
    if not named:
        return row, ""
    return replace(
        row, cells={**row.cells, **named}
    ), f"read in the name: {', '.join(f'{k} {v}' for k, v in named.items())}"


def stack_of(row: Row) -> StatedStack:
    """What a row says of its stack."""
    year, sharding = row.number("year"), (row.word("sharding") or row.word("zero_stage") or "none").lower()
    split = (row.positive("tp") or 1) > 1 or (row.positive("pp") or 1) > 1
    early = re.search(
        r"before (the authors' pipeline fix|its pipeline was mended)", row.word("notes") or row.word("release") or ""
    )
    described = row.word("framework") or row.word("method") or (row.word("software") or "" if early else "")
    sharded = re.search(r"3|fsdp|hsdp", sharding) is not None
    experts = (row.positive("experts") or 1) > 1
    return StatedStack(
        stated=row.word("software") or "",
        described=f"{described}, {early[0]}" if early else described,
        release=row.word("release") or "",
        year=None if year is None else round(year),
        layout=SPLIT if split or sharding == "zero1" else SHARDED if sharded else ALONE,
        expert_ranks=experts and (row.positive("ep") or 1) > 1,
        mixture=experts and (row.positive("ep") or 1) == 1,
    )


def kernel_in(text: str) -> str | None:
    """The attention kernel that a description means; "flash" where it does not say which."""
    return next((kernel for pattern, kernel in KERNELS if re.search(pattern, text.lower())), None)


def method_in(text: str) -> str:
    """The way of sharing a sequence that a description means, as ``layout.sequence_method`` writes it."""
    return next((method for pattern, method in METHODS if re.search(pattern, text.lower())), "zigzag")


def optimiser_in(text: str) -> str:
    """The optimiser that a description means, as ``training.optimizer`` writes it."""
    return next((name for pattern, name in OPTIMISERS if re.search(pattern, text.lower())), "adamw")


def gpus_in_node(text: str, usual: int) -> int | None:
    """GPUs of a node, as a description says: the number before "GPU" or a chip's name; a number above the usual only where it is said
    to be a node's."""
    if "dgx-1" in text:
        return 8
    match = re.search(
        r"(\d+)[\s-]*(?:x\s*)?(?:nvidia\s+|amd\s+)?(?:gpus?\b|[avhbl]\d{2,3}|g[hb]\d{3}|mi\d{3}|rtx)", text
    )
    of_a_node = re.search(r"per node|/ ?node|-gpu node|dgx|node \(", text)
    if match is None or not 1 <= int(match[1]) <= 16 or (int(match[1]) > usual and not of_a_node):
        return None
    return int(match[1])


def node_of(row: Row, accelerator: str) -> Node:
    """The accelerator's usual node; the GPUs of a node where the row says so, and one host where all stand in it."""
    chip = load_accelerator(accelerator)
    node = load_node(chip.node, chip.path)
    text = (row.word("nodes_interconnect") or "").lower()
    count = gpus_in_node(text, node.gpus)
    if count is not None and node.link_domain <= 16 and count != node.gpus:
        node = replace(node, gpus=count, link_domain=count, nics=max(1, round(node.nics * count / node.gpus)))
    per_node = row.positive("gpus_per_node")
    if per_node is not None and 1 <= per_node <= 1e6 and per_node != node.gpus:
        count = int(per_node)
        node = replace(node, gpus=count, link_domain=count, nics=max(1, round(node.nics * count / node.gpus)))
    joined = (row.word("network") or text).lower()
    network = next((kind for pattern, kind in NETWORKS if re.search(pattern, joined)), None)
    if network is not None:
        node = replace(node, network=network)
    if "no nvls" in text or row.number("switch_reduction") == 0:
        node = replace(node, sharp=False)
    return node
