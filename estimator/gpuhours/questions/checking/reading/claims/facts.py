"""What a document states in words: model, accelerator, country, sharding, precision, which parts are frozen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence

from gpuhours.questions.checking.accelerators import CHIP, find_accelerator
from gpuhours.questions.checking.claim import NAME_OF_MODEL, Claim, Fact
from gpuhours.questions.checking.precision import Spread
from gpuhours.questions.checking.reading.figures.tokens import Figure, Item
from gpuhours.questions.checking.reading.formats.blocks import Prose
from gpuhours.questions.checking.reading.naming.names import size_of

WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "sharding": (
        ("zero-3", "zero3"), ("zero-stage 3", "zero3"), ("zero stage 3", "zero3"), ("zero-2", "zero2"), ("zero stage 2", "zero2"),
        ("zero-1", "zero1"), ("zero stage 1", "zero1"), ("fsdp", "zero3"), ("fully sharded", "zero3"), ("ddp", "ddp"),
        ("distributeddataparallel", "ddp"), ("data parallelism", "none"), ("data-parallel", "none"), ("data-parallelism", "none"),
    ),
    "optimizer": (("adamw", "AdamW"), ("adafactor", "Adafactor"), ("lion", "Lion"), ("lamb", "LAMB"), ("muon", "Muon"),
                  ("sgd", "SGD"), ("adam", "Adam")),
    "precision": (("bfloat16", "bf16"), ("bf16", "bf16"), ("float16", "fp16"), ("fp16", "fp16"), ("fp8", "fp8"),
                  ("mixed precision", "mixed"), ("mixed-precision", "mixed"), ("amp", "mixed"), ("tf32", "tf32")),
    "software": (("megatron-deepspeed", "Megatron-DeepSpeed"), ("megatron-lm", "Megatron-LM"), ("megatron-core", "Megatron-Core"),
                 ("megatron", "Megatron-LM"), ("deepspeed", "DeepSpeed"), ("maxtext", "MaxText"), ("jax", "JAX"),
                 ("nemo", "NeMo"), ("colossal-ai", "Colossal-AI"), ("pytorch", "PyTorch"), ("tensorflow", "TensorFlow")),
    "trainable": (("lora", "lora"), ("peft", "lora"), ("low-rank", "lora"), ("qlora", "lora"), ("adapter modules", "adapters"),
                  ("adapter layers", "adapters"), ("only adapters", "adapters"), ("dora", "lora"), ("adalora", "lora"),
                  ("parameter-efficient", "adapters"), ("parameter - efficient", "adapters"), ("prefix tuning", "adapters"),
                  ("prefix-tuning", "adapters"), ("prompt tuning", "adapters"), ("prompt-tuning", "adapters"),
                  ("prompt - tune", "adapters"), ("prompt - tuning", "adapters"), ("soft prompt", "adapters"),
                  ("linear probe", "head"), ("linear-probe", "head"), ("linear probing", "head"), ("only the head", "head"),
                  ("only its head", "head"), ("only the classifier", "head"), ("head alone", "head"),
                  ("adapters are trained", "adapters"), ("train adapters", "adapters"), ("training adapters", "adapters")),
    "small_states": (("offload", "offloaded"), ("offloaded", "offloaded"), ("offloading", "offloaded"), ("8-bit adam", "8-bit"),
                     ("8-bit adamw", "8-bit"), ("8-bit optimizer", "8-bit"), ("8-bit optimiser", "8-bit"), ("adafactor", "factored"),
                     ("sgd", "no moments"), ("lion", "one moment"), ("galore", "projected"), ("bf16 optimizer states", "16-bit"),
                     ("pure bf16", "16-bit")),
    "frozen": (("frozen", "vision encoder"), ("freeze", "part of the model"), ("freezing", "part of the model")),
    "recompute": (("gradient checkpointing", "full"), ("activation checkpointing", "full"), ("activation recomputation", "full"),
                  ("selective recomputation", "selective"), ("recomputation", "full"), ("recomputing all activations", "full"),
                  ("recomputing activations", "full"), ("activations are recomputed", "full"), ("recomputed activations", "full"),
                  ("activations are checkpointed", "full"), ("checkpointed activations", "full"), ("checkpointing all activations", "full"),
                  ("compute it anew", "full"), ("compute them anew", "full"), ("computed anew", "full"),
                  ("computed again in the backward", "full"), ("computed twice", "full"), ("full checkpointing", "full"),
                  ("compute it again", "full"), ("compute them again", "full"), ("activations are discarded", "full"),
                  ("second forward pass", "full"), ("repeats the forward pass", "full"),
                  ("recomputing", "full"), ("recomputed", "full"), ("recompute", "full"), ("rematerialise", "full"),
                  ("rematerialize", "full"), ("rematerialisation", "full"), ("rematerialization", "full"), ("remat", "full")),
    "attention": (("flashattention", "flash"), ("flash-attention", "flash"), ("flash attention", "flash"),
                  ("flashattention-2", "flash2"), ("flash-attention2", "flash2")),
    "architecture": (("mixture-of-experts", "mixture of experts"), ("mixture of experts", "mixture of experts"),
                     ("moe", "mixture of experts"), ("expert parallelism", "mixture of experts"),
                     ("expert-parallel", "mixture of experts"), ("routed experts", "mixture of experts"),
                     ("sparse mixture", "mixture of experts"), ("masked autoencoder", "masked autoencoder"),
                     ("diffusion", "diffusion"), ("encoder-decoder", "encoder-decoder")),
    "pooling": (("fixed-size latent", "fixed queries"), ("q-former", "fixed queries"), ("resampler", "resampler"),
                ("latent queries", "fixed queries"), ("learnable queries", "fixed queries"), ("cross-attention layers", "cross-attention"),
                ("spatio-temporal queries", "fixed queries"), ("token merging", "pooled"), ("pooling", "pooled"), ("pooled", "pooled")),
    "tensor_parallel": (("tensor", "mentioned"), ("tensor-parallel", "mentioned"), ("tp", "mentioned"), ("megatron", "mentioned")),
    "pipeline_parallel": (("pipeline parallelism", "mentioned"), ("pipeline parallel", "mentioned"), ("pipeline-parallel", "mentioned"),
                          ("pipeline stages", "mentioned"), ("pipelines", "mentioned")),
    "sequence_parallel": (("sequence parallelism", "yes"), ("sequence parallel", "yes"), ("sequence-parallel", "yes"),
                          ("ring attention", "yes"), ("context parallelism", "yes"), ("mm-sp", "yes")),
    "stops": (("uninterrupted", "none"), *((f"{no} {stop}", "none") for no in ("no", "without", "without a", "without any")
                                           for stop in ("restart", "pause", "interruption", "stop", "downtime", "outage", "break"))),
}  # fmt: skip
ENCODERS = ("vit", "clip", "siglip", "eva", "dinov2", "internvit", "videomae", "convnext", "swin")


def find_facts(
    items: Sequence[Item],
    prose: Prose,
    tagged: Iterable[tuple[str, int, int]],
    elsewhere: Container[int] = (),
    settings: str = "",
    others: Container[int] = (),
) -> tuple[Fact, ...]:
    """Facts, first from tags and then from words.

    Blocks in ``elsewhere`` are about other models; ``settings`` is the text of tables that name no runs; figures that begin at a position
    in ``others`` are not the authors'.
    """
    facts: dict[str, Fact] = {}
    text = prose.text
    for tag, start, end in tagged:
        name = {"model": "model", "hardware": "accelerator", "country": "country"}.get(tag)
        if name and name not in facts:
            said = " ".join(text[start:end].split())
            value = said if name != "accelerator" else accelerator_name(said)
            facts[name] = Fact(name, value, said, _line(prose, start))
    if "accelerator" not in facts:
        most = _most_named([item for item in items if item.start not in others])
        if most:
            facts["accelerator"] = Fact("accelerator", accelerator_name(most.text), most.text, _line(prose, most.start))
    lowered = " ".join(item.text.lower() for item in items if prose.block(item.start) not in elsewhere)
    plain = f" {' '.join(f'{lowered} {settings.lower()}'.replace(',', ' ').split())} "
    for name, words in WORDS.items():
        for word, value in words:
            in_a_name = name == "trainable" and f"-{word} " in plain  # radiology-lora
            if f" {word} " in plain or f" {word}s " in plain or in_a_name:
                if in_a_name or name not in DENIABLE or _is_affirmed(word, plain):
                    facts.setdefault(name, Fact(name, value, word))
                elif name == "recompute":
                    facts.setdefault(name, Fact(name, "none", word))
                break
    encoder = next((item for item in items if item.kind == "word" and _is_encoder(item.text)), None)
    if encoder:
        facts["vision_encoder"] = Fact("vision_encoder", encoder.text, encoder.text, _line(prose, encoder.start))
    return tuple(facts.values())


DENIABLE = frozenset(["recompute", "frozen", "trainable"])
"""Facts that a text may deny: ``no activation recomputation``, ``nothing is frozen``."""
_DENIED_BEFORE = re.compile(
    r"\b(?:no|not|without|never|nothing|neither|nor|avoid\w*|disabl\w*|stop\w*|cease\w*|instead of)"
    r" (?:(?:any|activations?|gradients?|full|selective|be|being|is|are|was|were|of|the|all|use|using|need) ){0,2}$"
)
_DENIED_BEHIND = re.compile(
    r"^s? (?:[:=] )?(?:(?:is|was|were|are) )?(?:not|off|disabled|none|no|never|turned off|switched off|false)\b"
)


def _is_affirmed(word: str, plain: str) -> bool:
    """Whether a text has a phrase at least once without a denial before or behind it."""
    return any(
        not _DENIED_BEFORE.search(plain[max(found.start() - 40, 0) : found.start()])
        and not _DENIED_BEHIND.match(plain[found.end() : found.end() + 30])
        for found in re.finditer(rf"(?<= ){re.escape(word)}(?=s? )", plain)
    )


def accelerator_name(said: str) -> str:
    """The accelerator profile that the words name, or the words themselves if no profile is known."""
    named = find_accelerator(said)
    return said if named is None else named.profile or named.name


def _most_named(items: Sequence[Item]) -> Item | None:
    """The device named most often, where a mention beside GPU-hours counts most and one beside a count next; None if there is none."""
    devices = []
    for index, item in enumerate(items):
        said = item.device if isinstance(item, Figure) else item.text if item.kind == "device" else ""
        named = find_accelerator(said) if said else None
        if named is None:
            continue
        weight = 1
        if isinstance(item, Figure):
            weight = 8 if item.unit == "gpu_time" else 3
        elif any(isinstance(near, Figure) and near.unit == "gpu_time" for near in items[max(0, index - 8) : index]):
            weight = 6
        devices.append(
            (
                named.name,
                weight,
                item if not isinstance(item, Figure) else Item("device", said, item.start, item.end),
            )
        )
    if not devices:
        return None
    votes: Counter[str] = Counter()
    for name, weight, _ in devices:
        votes[name] += weight
    best = votes.most_common(1)[0][0]
    same = [item for name, _, item in devices if name == best]
    return with_memory(same[0].text, [*same, *(item for _, _, item in devices)]) or same[0]


_MEMORY = re.compile(r"(\d{2,3})[ -]?Gi?B")


def with_memory(said: str, devices: Iterable[Item]) -> Item | None:
    """The same chip's mention that gives its memory, if all such mentions agree: ``A100`` is the ``A100 40GB``; else None."""
    chip = CHIP.search(said)
    if chip is None or _MEMORY.search(said):
        return None
    named = [item for item in devices if (other := CHIP.search(item.text)) and other[0] == chip[0]]
    sizes = {size[1]: item for item in reversed(named) if (size := _MEMORY.search(item.text))}
    return next(iter(sizes.values())) if len(sizes) == 1 else None


def _is_encoder(word: str) -> bool:
    lowered = word.lower()
    return any(lowered.startswith(name + joint) for name in ENCODERS for joint in ("-", "/"))


def size_in_name(facts: Sequence[object]) -> Claim | None:
    """The parameter count in the model's name, nominal with a spread of 10 %; None if the name has no size."""
    model = next((fact for fact in facts if isinstance(fact, Fact) and fact.name == "model"), None)
    size = size_of(model.value) if model else None
    if model is None or size is None:
        return None
    said = Spread(size, 0.10, "from the model's name")
    return Claim("parameters", size, said, model.value, model.quote, model.place, NAME_OF_MODEL)


def _line(prose: Prose, position: int) -> str:
    return f"line {prose.line(position)}"
