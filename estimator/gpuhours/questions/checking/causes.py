"""Known mistakes, each described by the factor it applies to one figure: stated = factor x true.

Each cause is tested: the figure is divided by the factor, everything is reconciled again, and the share of the misfit that
disappears is the share that the cause explains. ``prior`` is how often the mistake occurs in practice (1 common, 0.2 rare);
it ranks causes that explain the misfit equally well.
"""

from __future__ import annotations

from collections.abc import Iterator

from gpuhours.questions.checking.accelerators import Named, by_name
from gpuhours.questions.checking.causes_in_bills import of_the_bill, rates_for_totals
from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.mistake import Mistake, one
from gpuhours.questions.checking.setting import Setting, attention_share


def mistakes(run: Setting, document: Document) -> Iterator[Mistake]:
    """Yield every known mistake that a run of this kind can contain."""
    yield from _utilisation(run, document)
    yield from _compute(run, document)
    yield from _machine(run, document)
    yield from _time(run, document)
    yield from rates_for_totals(document)
    yield from _data(document)
    yield from _tokens(run, document)
    yield from _batches(document)
    yield from of_the_bill(run, document)
    yield from _slips()


RECOMPUTED = 2.5
"""Relative frequency (``prior``) of counting recomputation as work if the text says that all activations were recomputed."""
RATES = ("mfu", "flops_per_second_per_gpu", "flops_per_second", "model_flops")


def _prior_of_recomputation(run: Setting) -> float:
    """Relative frequency of counting recomputation as work: ``RECOMPUTED`` under full recomputation, else 0.9."""
    return RECOMPUTED if run.recompute == "full" else 0.9


def _recomputed(cause: str, quantities: tuple[str, ...], text: str, prior: float) -> Iterator[Mistake]:
    """Yield mistakes that count recomputation as work (8ND instead of 6ND), in one figure or in all figures from the same count.

    The factor is 4/3 for full recomputation of the linear layers; attention and selective recomputation change it by 5 %.
    """
    for quantity in quantities:
        for also in ((), tuple(name for name in RATES if name != quantity)):
            yield Mistake(cause, quantity, 1.27, 1.40, prior, text, also, 4 / 3)


def _utilisation(run: Setting, document: Document) -> Iterator[Mistake]:
    accelerator = run.accelerator
    if accelerator is not None and accelerator.sparse_peak is not None:
        peak = f"{accelerator.sparse_peak / 1e12:,.0f} TFLOP/s"
        dense = f"{accelerator.peak / 1e12:,.0f}"
        yield from one(
            "sparse peak", "mfu hfu", 0.5, 1.0, f"divided by the peak with 2:4 sparsity ({peak}); dense is {dense}"
        )
        yield from one(
            "sparse peak", "peak_flops", 2.0, 1.0, f"the data sheet's {peak} is with 2:4 sparsity; dense is {dense}"
        )
        yield from one("FP8 peak", "mfu hfu", 0.5, 0.3, "divided by the FP8 peak, twice that of the 16-bit formats")
        yield from _other_peaks(accelerator, _in_full(document))
    sold = "counts recomputation (8ND over 6ND): hardware FLOPs reported as model FLOPs"
    yield from _recomputed("HFU as MFU", RATES[:3], sold, _prior_of_recomputation(run))
    yield from one("percent or fraction", "mfu hfu", 100.0, 0.1, "a percentage was read as a fraction", 100.0)
    yield from one("percent or fraction", "mfu hfu", 0.01, 1.0, "a fraction was printed as a percentage")
    seq = document.claim("seq_len")
    size = document.claim("active_parameters") or document.claim("parameters")
    if seq is not None and size is not None:
        share = attention_share(size.value, seq.value)
        if share > 0.1:
            yield from one("attention counted in full or not at all", "mfu model_flops flops_per_second_per_gpu", 1 + share / 2, 0.6,
                            f"attention adds {100 * share:.0f} % to 6ND at {seq.value:,.0f} tokens when counted in full, half when causal",
                            1 + share)  # fmt: skip


COMMON = ("a100-sxm-80gb", "h100-sxm-80gb")
"""Cards whose peak is hard-coded in training code: nanoGPT divides by the peak of an A100 on any card."""


SMALL, SHORT = 1e9, 1024.0
"""Model size in parameters below which attention matters at any sequence length, and the shortest length assumed for such models."""


def _in_full(document: Document) -> float:
    """Return the factor on 6ND if attention is counted in full, as in code with a hard-coded peak; 1 if unknown or at most 10 %."""
    size, seq = document.claim("active_parameters") or document.claim("parameters"), document.claim("seq_len")
    if size is None or size.value <= 0 or (seq is None and size.value >= SMALL):
        return 1.0
    share = attention_share(size.value, SHORT if seq is None else seq.value)
    return 1 + share if share > 0.1 else 1.0


def _other_peaks(accelerator: Named, in_full: float) -> Iterator[Mistake]:
    """Yield MFUs divided by another card's peak: stated = true x (this card's peak) / (the other's), up to ``in_full`` times that."""
    for other in filter(None, map(by_name, COMMON)):
        factor = accelerator.peak / other.peak
        if abs(factor - 1) > 0.05:
            dense = f"{other.name} has {other.peak / 1e12:,.0f} TFLOP/s, this card {accelerator.peak / 1e12:,.0f}"
            text = f"divided by another card's peak: {dense}"
            yield from one("another card's peak", "mfu hfu", factor, 0.25, text, factor * in_full)
            text = f"multiplied by another card's peak: {dense}"
            yield from one("another card's peak", "flops_per_second_per_gpu", 1 / factor, 0.2, text)


def _compute(run: Setting, document: Document) -> Iterator[Mistake]:
    yield from one(
        "2ND for 6ND", "model_flops", 1 / 3, 0.7, "2 x parameters x tokens is the forward pass alone; training needs 6"
    )
    yield from _recomputed(
        "8ND for 6ND",
        RATES[3:],
        "8 x parameters x tokens counts a recomputed forward pass",
        RECOMPUTED if run.recompute == "full" else 0.9,
    )
    yield from one("MAC for FLOP", "model_flops flops_per_second_per_gpu flops_per_second mfu", 0.5, 0.6,
                    "multiply-accumulates counted as one operation; a FLOP count is twice that")  # fmt: skip
    yield from one("twice the FLOPs", "model_flops", 2.0, 0.3, "12 x parameters x tokens: multiply-adds counted twice")
    if run.experts:
        for least, prior, most in _over_active(document):
            yield from one("total parameters for active ones",
                           "active_parameters parameters model_flops mfu flops_per_second_per_gpu", least, prior,
                           "only the experts a token is routed to compute; the total overstates the FLOPs", most)  # fmt: skip
    elif document.fact("architecture") == "encoder-decoder":
        yield from one("encoder-decoder counted as one", "parameters model_flops", 2.0, 0.9,
                        "each token passes through either encoder or decoder, about half of the parameters")  # fmt: skip
    if run.flops_per_parameter == 6.0 and document.fact("frozen"):
        yield from one("frozen part counted as trained", "parameters tokens", 1.4, 1.5,
                        "a frozen part costs 2 FLOP per parameter and token (4 behind trained layers), not 6", 3.2)  # fmt: skip
    if run.masked:
        ratio = document.claim("mask_ratio")
        kept = 1 - ratio.value if ratio else 0.25
        yield from one("masking ignored", "tokens model_flops visual_tokens", 1 / kept, 0.9,
                        f"the encoder sees {100 * kept:.0f} % of the patches; all of them were counted")  # fmt: skip


def _over_active(document: Document) -> Iterator[tuple[float, float, float]]:
    """Yield (least, prior, most) of the factor by which all parameters exceed the active ones: as the text says, else within a range."""
    every, active = document.claim("parameters"), document.claim("active_parameters")
    if every is not None and active is not None and every.value > active.value:
        yield every.value / active.value, 0.9, every.value / active.value
    yield 1.3, 0.8, 40.0


def _of_all_gpus(gpus: float, document: Document) -> Iterator[Mistake]:
    """Figures of one GPU or one replica given for all GPUs, and the reverse."""
    yield from one("wall-clock for aggregate hours", "gpu_hours", 1 / gpus, 1.0,
                    "the figure is the wall-clock time of the job, not hours x GPUs")  # fmt: skip
    yield from one("aggregate for wall-clock hours", "wall_clock", gpus, 0.7,
                    "the time is GPU-hours summed over all GPUs, not the wall-clock time")  # fmt: skip
    yield from one("per GPU for all", "global_batch global_batch_tokens tokens_per_second samples_per_second flops_per_second",
                    1 / gpus, 0.7, "the figure is per GPU")  # fmt: skip
    ranks = document.claim("data_parallel")
    least, most = (1 / ranks.value,) * 2 if ranks is not None and ranks.value > 1 else (1 / gpus, 0.5)
    yield from one("replica for cluster", "tokens_per_second samples_per_second flops_per_second", least, 0.35,
                    "the figure is for one replica, not for the whole machine", most)  # fmt: skip
    if ranks is not None and 1 < ranks.value < gpus:
        yield from one("replica for cluster", "gpu_hours energy cost tokens", 1 / ranks.value, 0.6,
                       f"the figure is for one of {ranks.value:g} replicas, not for the whole machine")  # fmt: skip
    yield from one("all for per GPU", "tokens_per_second_per_gpu flops_per_second_per_gpu", gpus, 0.6,
                    "the figure is for the whole machine, not per GPU")  # fmt: skip


def _of_a_node(each: float, run: Setting, document: Document) -> Iterator[Mistake]:
    """Figures of a node of ``each`` GPUs given for a GPU, and the reverse."""
    likely = 0.9 if run.claimed & {"nodes", "gpus_per_node"} else 0.35
    yield from one("nodes for GPUs", "gpus", 1 / each, likely, f"counts nodes of {each:g} GPUs, not GPUs")
    yield from one("nodes for GPUs", "gpu_hours", 1 / each, 0.4, f"hours of nodes of {each:g} GPUs, not of GPUs")
    yield from one(
        "GPUs of a node counted twice",
        "gpus",
        each,
        0.4 * likely,
        f"multiplied by the {each:g} GPUs of a node once too often",
    )
    counted = document.claim("nodes") or document.claim("gpus")
    several = 1.0 if counted is None else counted.value / (1.0 if counted.quantity == "nodes" else each)
    if several > 1:
        yield from one("hours of one node", "gpu_hours", 1 / several, 0.6,
                       f"the GPU-hours of one node of {each:g} GPUs; there were {several:g} nodes")  # fmt: skip
    yield from one("GPUs for nodes", "nodes node_hours", each, 0.8, f"counts GPUs, not nodes of {each:g}")
    yield from one("per node for per GPU", "tokens_per_second_per_gpu flops_per_second_per_gpu price gpu_power", each, 0.7,
                    f"the figure is per node of {each:g} GPUs")  # fmt: skip
    yield from one("per GPU for per node", "price gpu_power", 1 / each, 0.3, "the figure is per GPU, not per node")


def _machine(run: Setting, document: Document) -> Iterator[Mistake]:
    gpus = document.claim("gpus")
    per_node = document.claim("gpus_per_node")
    each = per_node.value if per_node else float(run.accelerator.gpus_per_node) if run.accelerator else 8.0
    if gpus is not None and gpus.value > 1:
        yield from _of_all_gpus(gpus.value, document)
    if each > 1:
        yield from _of_a_node(each, run, document)
    if run.accelerator is not None and "TPU" in run.accelerator.name:
        yield from one(
            "cores for chips", "gpus gpu_hours", 2.0, 0.8, "TPU v2 and v3 chips have two cores; cores were counted"
        )
    if run.experts:
        yield from one("peak of a smaller format", "mfu", 2.0, 0.2, "FP8 work divided by the 16-bit peak")
    yield from one("tensor or pipeline degree inside the data-parallel count", "data_parallel", 1.9, 0.3,
                    "the data-parallel degree counts model-parallel ranks too", 64.0)  # fmt: skip
    for several, of in ((each, "of a node"), (gpus.value if gpus else 1.0, "of the run")):
        if several > 1:
            text = f"the combined memory of the {several:g} GPUs {of}, not per GPU"
            yield from one("memory summed", "memory_per_gpu", several, 0.7, text)
    yield from one("GB for GiB", "memory_per_gpu dataset_bytes", 1024**3 / 1e9, 0.6, "GiB and GB differ by 7 %")


MOST_GOODPUT = 0.97
"""Share of productive time above which hours with and without stops cannot be told apart."""


def _time(run: Setting, document: Document) -> Iterator[Mistake]:
    yield from one(
        "downtime", "wall_clock", 1.1, 0.8, "the wall-clock time includes stops, restarts and evaluation", 2.2
    )
    yield from one("downtime", "gpu_hours", 1.1, 0.5, "the GPU-hours include stops, restarts and other runs", 2.2)
    yield from one(
        "part of the run",
        "gpu_hours wall_clock",
        0.2,
        0.45,
        "covers only part of the run, or leaves out lost time",
        0.9,
    )
    share = document.claim("goodput")
    if share is not None and share.value < MOST_GOODPUT:
        yield from one("stops left out", "gpu_hours node_hours", share.value, 1.2,
                       f"counts only the {100 * share.value:.3g} % of the time in which steps advanced")  # fmt: skip
    yield from one("days for hours", "gpu_hours wall_clock", 24.0, 0.3, "hours and days are mixed up")
    yield from one("hours for days", "gpu_hours wall_clock", 1 / 24, 0.4, "hours and days are mixed up")
    accumulation = document.claim("accumulation")
    if accumulation is not None and accumulation.value > 1:
        n = accumulation.value
        yield from one("micro-steps for steps", "steps", n, 0.7, f"counts micro-steps; {n:g} make one optimiser step")
        yield from one(
            "accumulation forgotten",
            "global_batch global_batch_tokens",
            1 / n,
            0.8,
            f"the batch leaves out {n:g} accumulated micro-steps",
        )
        text = f"the figure leaves out that a step accumulates {n:g} micro-steps"
        unsaid = document.claim("global_batch") is None and document.claim("global_batch_tokens") is None
        if unsaid:
            yield from one("accumulation forgotten", "tokens samples", 1 / n, 0.8, text)
        yield from one(
            "accumulation counted twice",
            "global_batch global_batch_tokens",
            n,
            0.4,
            "the batch already contained the accumulated micro-steps",
        )


MOST_PASSES = 12


def _data(document: Document) -> Iterator[Mistake]:
    epochs = document.claim("epochs")
    n = epochs.value if epochs else None
    if n is not None and n > 1:
        yield from one(
            "epochs forgotten", "tokens samples steps model_flops", 1 / n, 1.0, f"counts one pass; there were {n:g}"
        )
        text = f"the figure is for one epoch; there were {n:g}"
        yield from one("epochs forgotten", "gpu_hours wall_clock energy cost carbon", 1 / n, 0.4, text)
        yield from one(
            "epochs counted twice", "dataset_tokens dataset_samples", n, 0.5, f"already contains {n:g} passes"
        )
    elif n is None:
        for passes in range(2, MOST_PASSES + 1):
            text = f"the figure is one pass; the data were read {passes} times"
            yield from one("epochs forgotten", "tokens", 1 / passes, 0.2, text)


def _tokens(run: Setting, document: Document) -> Iterator[Mistake]:
    size, tokens = document.claim("dataset_bytes"), document.claim("tokens") or document.claim("dataset_tokens")
    alike = size is not None and tokens is not None and 0.95 < size.value / tokens.value < 1.05
    yield from one(
        "bytes read as tokens",
        "tokens dataset_tokens",
        3.3,
        4.0 if alike else 0.6,
        "the data set has that many bytes" if alike else "bytes or characters, 3.3 to 4.7 per token of text",
        4.7,
    )
    yield from one(
        "words read as tokens",
        "tokens dataset_tokens",
        1 / 1.45,
        0.15,
        "words: a word is 1.25 to 1.45 tokens",
        1 / 1.25,
    )
    if document.fact("sequence_parallel"):
        yield from one("sequence-parallel ranks counted as readers", "tokens", 4.0, 3.0,
                        "all ranks of a sequence-parallel group read the same sequence; each token was counted once per rank",
                        512.0)  # fmt: skip
    tuned = run.flops_per_parameter != 6.0 or "fine-tuning" in {claim.scope for claim in document.set_aside}
    yield from one("base model's tokens", "tokens", 3.0, 1.2 if tuned else 0.35,
                    "the tokens are those of the base model or of the whole corpus; the hours are of this stage alone", 1e5)  # fmt: skip


def _batches(document: Document) -> Iterator[Mistake]:
    frames = document.claim("frames_per_clip")
    if frames is not None:
        yield from one(
            "frames counted as samples",
            "global_batch dataset_samples samples_per_second",
            frames.value,
            0.6,
            "counts frames, not clips",
        )
        yield from one(
            "tokens per frame for tokens per clip",
            "tokens_per_sample",
            1 / frames.value,
            0.6,
            "per frame, not per clip",
        )
    seq = document.claim("seq_len")
    if seq is not None:
        yield from one("sequences for tokens", "global_batch_tokens", 1 / seq.value, 0.7, "sequences, not tokens")
        yield from one("tokens for sequences", "global_batch", seq.value, 0.7, "tokens, not sequences")


def _slips() -> Iterator[Mistake]:
    for factor in (1000.0, 0.001):
        yield from one("thousand, million, billion", "tokens parameters gpu_hours dataset_samples model_flops energy it_energy cost "
                        "tokens_per_second tokens_per_second_per_gpu samples_per_second", factor, 0.25,
                        "unit off by three orders of magnitude")  # fmt: skip
    for factor in (10.0, 0.1):
        yield from one(
            "a digit too many or too few",
            "tokens gpu_hours wall_clock dataset_samples steps energy cost carbon",
            factor,
            0.2,
            "a factor of ten",
        )
