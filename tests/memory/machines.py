"""Machines, ranks and models of published memory figures."""

from __future__ import annotations

from typing import Any

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.operators import Stack
from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.hardware.clusters import Cluster
from gpuhours.hardware.nodes import load_node
from gpuhours.hardware.number_formats import Precision
from gpuhours.layout.layout import Layout
from gpuhours.layout.ranks import Ranks, ranks_of
from gpuhours.memory import memory
from gpuhours.software.profile import Software, load_software
from gpuhours.workload import Workload

GB = 1e9
LLAMA_7B = Decoder(layers=32, hidden=4096, heads=32, ffn_hidden=11008, vocab=32000)
LLAMA_8B = Decoder(layers=32, hidden=4096, heads=32, kv_heads=8, ffn_hidden=14336, vocab=128256)
GPT_22B = Decoder(
    layers=48, hidden=6144, heads=64, ffn_hidden=24576, gated=False, vocab=51200, norm="layer",
    positions="learned", attention_bias="all", mlp_bias=True, dropout=True,
)  # fmt: skip


NOTHING_ELSE = (0.0,) * 7
"""No experts, no frozen weights, no gathered blocks."""


def machine(name: str, gpus: Any) -> Cluster:
    card = load_accelerator(name)
    return Cluster(card, load_node(card.node), gpus)


def ranks(layout: Layout, gpus: int = 8, batch: int = 8) -> Ranks:
    return ranks_of(layout, machine("a100-sxm-80gb", gpus), batch)


def stack(decoder: Decoder, tokens: int) -> Stack:
    return decoder.model(tokens).stacks[0]


def megatron() -> Software:
    return load_software("megatron-2022")


# laws


def held(layout: Layout, software: str = "megatron-core", gpus: int = 64, **precision: str) -> Any:
    return memory(Workload(
        LLAMA_8B.model(8192), 128, layout, machine("h100-sxm-80gb", gpus), load_software(software),
        Precision(**precision),
    ))  # fmt: skip
