"""nanotron's YAML (nanotron/config/config.py, parallelism_config.py, models_config.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpuhours.questions.interchange.keys import (
    ACCUMULATION,
    RANKS,
    ForeignFile,
    Key,
    above_one,
    as_bool,
    paired,
    positive,
    written,
)

SHAPE = "model.model_config."
TABLE = (
    Key("model.layers", (f"{SHAPE}num_hidden_layers",), positive),
    Key("model.hidden", (f"{SHAPE}hidden_size",), positive),
    Key("model.heads", (f"{SHAPE}num_attention_heads",), positive),
    Key("model.kv_heads", (f"{SHAPE}num_key_value_heads",), positive),
    Key("model.ffn_hidden", (f"{SHAPE}intermediate_size",), positive),
    Key("model.vocab", (f"{SHAPE}vocab_size",), positive),
    Key("model.tied", (f"{SHAPE}tie_word_embeddings",), as_bool, bool),
    Key("data.seq_len", ("tokens.sequence_length",), positive),
    Key("data.steps", ("tokens.train_steps",), positive),
    Key("layout.microbatch", ("tokens.micro_batch_size",), positive),
    Key(ACCUMULATION, ("tokens.batch_accumulation_per_replica",), positive),
    Key(RANKS, ("parallelism.dp",), positive, None),
    Key("layout.tensor", ("parallelism.tp",), positive),
    Key("layout.pipeline", ("parallelism.pp",), positive),
    Key("layout.context", ("parallelism.context_parallel_size",), positive, above_one),
    Key("layout.expert", ("parallelism.expert_parallel_size",), positive, above_one),
)
NUMBERS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
SCHEDULES = {"1f1b": "1f1b", "afab": "gpipe"}


def read(theirs: ForeignFile) -> dict[str, Any]:
    """Convert a nanotron configuration to the run's keys: layers of Llama or Qwen2, ZeRO-1 or no sharding, full or no recomputation."""
    keys = {
        key: value
        for key, value in paired(theirs, TABLE).items()
        if value != 1 or not key.endswith(("context", "expert"))
    }
    if "model.layers" in keys:
        biased = theirs.on(f"{SHAPE}is_qwen2_config") or theirs.on(f"{SHAPE}attention_bias")
        keys |= {
            "model.gated": True,
            "model.norm": "rms",
            "model.positions": "rotary",
            "model.attention_bias": "qkv" if biased else "none",
        }
        each = theirs.count("model.make_vocab_size_divisible_by") or 1
        multiple = each * int(keys.get("layout.tensor", 1))
        keys |= {"model.vocab": math.ceil(keys["model.vocab"] / multiple) * multiple} if "model.vocab" in keys else {}
        for part in ("is_llama_config", "pretraining_tp", "hidden_act", "max_position_embeddings", "use_cache"):
            theirs.get(f"{SHAPE}{part}")
    if keys.get("layout.pipeline", 1) > 1:
        engine = str(theirs.get("parallelism.pp_engine") or "1f1b")
        keys["layout.schedule"] = SCHEDULES.get(engine, engine)
    theirs.get(
        "parallelism.pp_engine", "parallelism.tp_linear_async_communication", "parallelism.tp_recompute_allgather"
    )
    mode = theirs.get("parallelism.tp_mode")
    if keys.get("layout.tensor", 1) > 1:
        keys["layout.sequence_parallel"] = str(mode or "ALL_REDUCE").upper() == "REDUCE_SCATTER"
    keys["layout.sharding"] = "zero1" if theirs.count("optimizer.zero_stage") else "none"
    keys["layout.recompute"] = "full" if theirs.on("parallelism.recompute_layer") else "none"
    kind = str(theirs.get("model.dtype") or "bfloat16")
    return keys | {"training.dtype": NUMBERS.get(kind, kind), "software": "nanotron"}


def write(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a run's values to a nanotron configuration."""
    theirs = written(values, TABLE)
    copy = math.prod(int(values.get(f"layout.{name}") or 1) for name in ("tensor", "pipeline", "context"))
    ranks = values.get("layout.data") or int(values.get("hardware.gpus", copy)) // copy
    theirs |= (
        {"parallelism.dp": ranks, f"{SHAPE}is_llama_config": True}
        if "model.layers" in values
        else {"parallelism.dp": ranks}
    )
    if values.get("model.attention_bias") == "qkv":
        theirs[f"{SHAPE}is_qwen2_config"] = True
    names = {ours: name for name, ours in NUMBERS.items()}
    theirs["model.dtype"] = names.get(str(values.get("training.dtype", "bf16")), "bfloat16")
    schedules = {ours: name for name, ours in SCHEDULES.items()}
    theirs["parallelism.pp_engine"] = schedules.get(str(values.get("layout.schedule")), "1f1b")
    theirs["parallelism.tp_mode"] = "REDUCE_SCATTER" if values.get("layout.sequence_parallel", True) else "ALL_REDUCE"
    theirs["parallelism.recompute_layer"] = values.get("layout.recompute") == "full"
    theirs["optimizer.zero_stage"] = 0 if values.get("layout.sharding", "none") == "none" else 1
    return {name: theirs[name] for name in sorted(theirs)}
