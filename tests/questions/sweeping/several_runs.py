"""Runs of a decoder, a video model and a mixture, and ways to vary each."""

from __future__ import annotations

from typing import Any

import gpuhours

GPT = {
    "name": "a decoder",
    "model": {"layers": 24, "hidden": 2048, "heads": 16, "ffn_hidden": 8192, "vocab": 51200, "gated": False},
    "data": {"seq_len": 2048, "tokens": "100B"},
    "training": {"global_batch": 512, "dtype": "bf16"},
    "hardware": {"accelerator": "a100-sxm-80gb", "gpus": 64},
    "layout": {"tensor": 2, "pipeline": 2},
    "software": "megatron-core",
}
VIDEO = {
    "name": "a video model",
    "model": {
        "vision": {"name": "vit-l-14", "trainable": "frozen"},
        "bridge": {"kind": "mlp"},
        "language": {"params": "7B"},
    },
    "data": {"frames": 16, "text_tokens": 512, "dataset_samples": "10M", "epochs": 1},
    "training": {"global_batch": 512, "dtype": "bf16"},
    "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 64},
    "layout": {"tensor": 2},
    "software": "megatron-core",
}
MIXTURE = {
    **GPT,
    "model": {**GPT["model"], "gated": True, "experts": {"count": 16, "top_k": 2, "width": 2048}},  # type: ignore[dict-item]
}


def run_of(data: dict[str, Any]) -> gpuhours.Run:
    return gpuhours.from_dict(data)


CASES = {
    "layout": (GPT, {
        "layout.tensor": "1,2,4", "layout.pipeline": "1..8*2", "layout.microbatch": "1,2", "layout.recompute": "none,selective,full",
        "layout.sharding": "none,zero1,zero2,zero3", "layout.schedule": "1f1b,zb-1p,gpipe", "layout.sequence_parallel": "true,false",
    }),
    "machine": (GPT, {
        "hardware.accelerator": "a100-sxm-80gb,h100-sxm-80gb,v100-sxm-32gb", "hardware.gpus": "16..256*2",
        "training.global_batch": "256,512,768", "layout.sharding": "zero1,zero3", "hardware.internode_bandwidth": "12..50 GB/s:19",
    }),
    "data": (GPT, {"data.seq_len": "1024..8192*2", "layout.context": "1,2,4", "data.tokens": "1B..1T*10",
                   "layout.sequence_method": "ring,ulysses,all-gather"}),
    "model": (GPT, {"model.layers": "12,24,48", "layout.pipeline": "1,2,4", "layout.interleave": "1,2,3", "training.dtype": "bf16,fp16"}),
    "experts": (MIXTURE, {"layout.expert": "1,2,4,8,16", "layout.tensor": "1,2",
                          "layout.microbatch": "1,2,4", "layout.expert_tensor": "1,2"}),
    "video": (VIDEO, {"data.frames": "1,4..64*4", "data.text_tokens": "0,128,1024",
                      "layout.tensor": "1,2,4", "layout.recompute": "none,full"}),
    "no layout": ({**GPT, "layout": None}, {"hardware.gpus": "8,64,512", "training.global_batch": "512,1024"}),
    "no software": ({**GPT, "software": None}, {"layout.sharding": "zero1,zero3", "layout.microbatch": "1,2"}),
    "money": ({**GPT, "cost": {"price": "2 USD/hour"}}, {"known.goodput": "50%,90%,100%", "cost.price": "1,2.5", "layout.tensor": "1,8"}),
    "solved": ({**GPT, "known": {"mfu": "40%"}}, {"known.mfu": "30%,45%", "hardware.gpus": "64,128"}),
}  # fmt: skip
