"""Interpretation of the words in a measured row: its stack, attention kernel, optimiser and node."""

from __future__ import annotations

import re
from dataclasses import replace

from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.nodes import Node, load_node
from gpuhours.questions.validating.rows import Row
from gpuhours.software.matching import StatedStack, kind_of_layout, match
from gpuhours.software.profile import Software, load_software

_FLASH = r"(?:flash|\bfa)[\s_().=-]*(?:att(?:entio)?n)?[\s_().=-]*(?:version|ver|v)?[\s_().=-]*"
KERNELS: tuple[tuple[str, str | None], ...] = (
    (
        r"unfused|(\bno|\bnon|not|without|w/o)[ -](flash|fa\d|mem\w*.efficient)|fused softmax"
        r"|flash[\w -]*[:= (]+(off|disabled|false|none|no|not used)\b",
        "unfused",
    ),
    (r"cudnn", "cudnn"),
    (rf"{_FLASH}[34](?!\d|d\b)", "flash3"),
    (rf"{_FLASH}2(?!\d|d\b)", "flash2"),
    (rf"triton|xformers|mem\w*.efficient|{_FLASH}1(?!\d)", "flash1"),
    (r"flash", "flash"),
    (r"eager|naive|\bmath\b", "unfused"),
    (r"sdpa|scaled.dot.product", None),
    (r"transformer.?engine|^te\b", "cudnn"),
    (r"standard|vanilla|\bplain\b", "unfused"),
)
"""Patterns for attention kernels, first match wins; "flash" alone means the stack's own, and None is the stack's usual kernel. Words that
may be said of anything else (a library, "standard") count only if no kernel is named."""
METHODS = (
    (r"2d|hybrid|usp|unified|double|a2a\W*p2p|loong", "hybrid"),
    (r"ulysses|a2a|all.?to.?all|heads?", "ulysses"),
    (r"all.?gather", "all-gather"),
)
"""Patterns for ways of splitting a sequence, first match wins; all others are a ring, and every published ring balances the mask."""
NAMED = (
    (r"q-?lora", {"lora": "1", "dtype": "nf4"}),
    (r"\blora\b", {"lora": "1"}),
    (r"activations? offload", {"offload": "activations"}),
    (r"(cpu|optimi[sz]er)[ -]offload", {"offload": "optimizer"}),
    (r"8-?bit adam", {"optimizer": "adamw-8bit"}),
    (r"chunked (cross.?entropy|loss)|liger|cut cross", {"loss_blocks": "8"}),
)
"""Patterns in a model's or recipe's name -> the blank columns that they fill; all matches apply."""
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
"""Patterns for optimisers -> ``hardware.optimisers``, first match wins; all others have AdamW's state and traffic (LAMB does)."""
NETWORKS = (
    (r"\bp5\b(?!en)", "efa-p5"),
    (r"\befa\b|\baws\b|p4d", "efa"),
    (r"omni.?path", "omni-path"),
    (r"roce|ethernet|slingshot|\btcp\b|gpudirect-tcp", "ethernet"),
    (r"infiniband|\bib\b|\bndr\b|\bhdr\b|\bedr\b|\brdma\b", "infiniband"),
)
"""Patterns for networks between nodes -> ``hardware_specs/networks``, first match wins."""


def software_of(row: Row) -> tuple[Software, str]:
    """The profile of the row's stack (``software.matching``), and a remark if the row does not name it."""
    matched = match(stack_of(row))
    return load_software(matched.profile), matched.remark


def stack_stands_in(row: Row) -> bool:
    """Whether the row's profile only stands in for a stack that was not measured."""
    return match(stack_of(row)).stands_in


def stack_said(row: Row) -> bool:
    """Whether the row names its stack or framework; an unnamed stack may well be one of those that were measured."""
    return any(row.word(column) for column in ("software", "framework", "method"))


def family_alone(row: Row) -> bool:
    """Whether the row names no more than a family of stacks."""
    return match(stack_of(row)).family_alone


def with_named(row: Row) -> tuple[Row, str]:
    """The row with blank columns filled from its names (``NAMED``), and a remark on what was read there."""
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
    """What a row states about its stack."""
    year, sharding = row.number("year"), (row.word("sharding") or row.word("zero_stage") or "none").lower()
    split = (row.positive("tp") or 1) > 1 or (row.positive("pp") or 1) > 1
    early = re.search(
        r"before (the authors' pipeline fix|its pipeline was mended)", row.word("notes") or row.word("release") or ""
    )
    described = row.word("framework") or row.word("method") or (row.word("software") or "" if early else "")
    experts = (row.positive("experts") or 1) > 1
    return StatedStack(
        stated=row.word("software") or "",
        described=f"{described}, {early[0]}" if early else described,
        release=row.word("release") or "",
        year=None if year is None else round(year),
        layout=kind_of_layout(split=split, sharding=sharding),
        adapters="text" if row.flag("lora") else "",
        expert_ranks=experts and (row.positive("ep") or 1) > 1,
        mixture=experts and (row.positive("ep") or 1) == 1,
    )


def kernel_in(text: str) -> str | None:
    """The attention kernel that a description names; "flash" if it does not say which version."""
    return next((kernel for pattern, kernel in KERNELS if re.search(pattern, text.lower())), None)


def method_in(text: str) -> str:
    """The way of splitting a sequence that a description names, as in ``layout.sequence_method``."""
    return next((method for pattern, method in METHODS if re.search(pattern, text.lower())), "zigzag")


def optimiser_in(text: str) -> str:
    """The optimiser that a description names, as in ``training.optimizer``."""
    return next((name for pattern, name in OPTIMISERS if re.search(pattern, text.lower())), "adamw")


def gpus_in_node(text: str, usual: int) -> int | None:
    """GPUs per node according to a description: the number before "GPU" or a chip's name. A number above ``usual`` only counts if the
    text says that it is per node."""
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
    """The accelerator's default node, with the row's GPUs per node if given; a single host if all GPUs are in one."""
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
    if "no nvls" in text or row.flag("switch_reduction") is False:
        node = replace(node, sharp=False)
    return node
