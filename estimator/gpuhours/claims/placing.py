"""Which quantity a figure is: its unit says what it can be, the nearest telling words in its sentence which of those it is.

Every rule is a line of ``RULES``: a unit, a quantity, the words that point to it, and how far a figure may stand from
them. The cost of a rule is the distance to its nearest word (commas and other figures in between count extra) plus its
own base cost; the cheapest rule wins, and above ``DEAREST`` nothing is placed. A rule without words is what the unit means
where nothing else is said; then the placement is marked as such.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from gpuhours.claims.figures import Figure, Item
from gpuhours.claims.quantities import HOUR, QUANTITIES

DEAREST = 16.0
REACH = 14
SUBJECT_DISTANCE = 3.4
HOP_STOPS = frozenset(
    "of for in on with at to by from and or per using over across were was is are each the a an which that then as "
    "while during into within after before but until via than through total totaling consisting consuming taking took "
    "reaching yielding corresponding followed requiring resulting running trained sampled".split()
)
HARMLESS = frozenset({"task", "dataset", "model", "run", "stage", "time", "language"})
"""``10 epochs per task`` are epochs; ``320,000 frames per GPU`` are no frames per clip."""
THING_UNITS = frozenset(
    "token parameter sample step epoch frame layer head expert node patch query stage replica worker rank model task "
    "dataset language time word pod benchmark shot fold dimensional bit".split()
)


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    units: frozenset[str]
    quantity: str
    words: tuple[str, ...]
    base: float = 0.0
    reach: float = REACH
    subject: bool = False
    """A word that opens the sentence counts as near: "The decoder, which is smaller, has 8 layers"."""
    before: bool = False
    """The words must stand before the figure."""


@dataclass(frozen=True)
class Place:
    """Where a figure goes, what said so, and at what distance."""

    quantity: str
    because: str
    cost: float

    @property
    def by_default(self) -> bool:
        """Nothing but the unit spoke for it."""
        return self.because == ""


def _rule(
    units: str, quantity: str, words: str = "", base: float = 0.0, reach: float = REACH, *, subject: bool = False, before: bool = False
) -> Rule:
    listed = tuple(word.strip() for word in words.split(",") if word.strip())
    kinds = frozenset("" if unit == "bare" else unit for unit in units.split())
    return Rule(kinds, quantity, listed, base, reach, subject, before)


_WARM = "warmup, warm up, warmed, warming, ramp"
_CHECKPOINT = "checkpoint, checkpointing, checkpointed, save every, saved every, snapshots"
_RUN = (
    "training, trained, train, pretraining, pretrained, pretrain, took, spanned, lasted, lasting, spanning, ran, run, "
    "completed, complete, duration, wallclock, wall clock, required, requiring, finished, entire, phase, continuous"
)

RULES: tuple[Rule, ...] = (
    # parameters
    _rule("parameter", "parameters", base=5),
    _rule("parameter", "parameters", "total, totaling, totalling, comprises, overall, altogether, in total", 0, 6),
    _rule("parameter scaled", "active_parameters", "active, activated, activates, activating, active per token", 0, 7),
    _rule("parameter", "trainable_parameters", "trainable, tunable, adapter, adapters, lora, updated, learnable", 0.5, 6),
    _rule("parameter bare", "vision_parameters",
          "vision encoder, video encoder, image encoder, visual encoder, vision tower, vision transformer", 0.2, 5,
          subject=True),
    _rule("parameter bare", "language_parameters",
          "language decoder, text decoder, language backbone, llm backbone, language component, language model component",
          0.2, 5, subject=True),
    _rule("scaled model", "parameters", "model, parameters, transformer, network, variant", 3, 5),
    # tokens
    _rule("token", "tokens", base=6),
    _rule("token", "tokens", "total, trained on, training on, corpus, consumed, processed, pretraining, trained for, seen", 1, 8),
    _rule("token", "seq_len",
          "sequence length, context length, context window, context size, sequence lengths, length, sequences of, "
          "window, maximum length, max length, contexts of, truncated, context, sequences are, tokens long, long, "
          "sequences contain, sequences with, each sequence, sequences", 0),
    _rule("token", "global_batch_tokens", "batch, batch size, batches", 0),
    _rule("token", "vocabulary", "vocabulary, vocab, tokenizer, bpe, sentencepiece, codebook", 0, 8),
    _rule("token", "warmup_tokens", _WARM, 0),
    _rule("token", "visual_tokens", "visual tokens, video tokens, vision tokens, image tokens", 0, 3),
    _rule("token", "text_tokens", "text tokens, text data, textual, purified text, text only, text corpus", 0.5, 5),
    _rule("token", "dataset_tokens", "unique, dataset of, deduplicated, dataset", 0.5, 5),
    _rule("token", "tokens_per_frame", "each frame, per frame, every frame", 0, 8),
    _rule("scaled", "tokens", "trained on, training on, trained over, trained for, corpus of", 2, 4, before=True),
    _rule("token", "base_tokens", "base model had, had seen, base model was, originally, base model saw, base checkpoint", -1.5, 8),
    _rule("named", "parameters", base=2),
    # samples
    _rule("sample sequence", "samples", base=7),
    _rule("sample sequence", "samples", "dataset, corpus, collection, consists, comprising, million, curated", 4, 12),
    _rule("sample sequence bare", "global_batch", "batch, batch size, batchsize, minibatch, batches, per iteration", 0),
    _rule("sample sequence bare", "microbatch", "micro batch, microbatch, per gpu batch, local batch, per device batch, "
          "device batch", -0.5),
    _rule("sample sequence", "evaluation_size", "evaluation, evaluate, evaluated, test, validation, heldout, held out, "
          "benchmark, annotators", 1, 8),
    _rule("sample sequence", "samples_seen", "samples seen, seen, in total processed", 0, 4),
    _rule("small_sequence", "global_batch", base=8),
    # frames and pictures
    _rule("frame", "frames_per_clip", base=5),
    _rule("rate", "frame_rate", base=1),
    _rule("hertz", "sample_rate", base=1),
    _rule("dims pixel", "resolution", base=2),
    _rule("dims pixel", "patch_size", "patch, patches, patchify, tubelet, tubelets", 0, 4),
    _rule("bare", "patch_size", "patch size, patches of", 0, 5),
    _rule("bare", "resolution", "resolution, resolution of, resolutions", 0, 5),
    _rule("patch", "tokens_per_frame", "per frame, each frame", 1, 6),
    _rule("patch query", "queries", "queries, learnable, latent, resampler, query", 1),
    # steps and epochs
    _rule("step", "steps", base=5),
    _rule("step", "warmup_steps", _WARM, 0),
    _rule("step", "measured_iterations", "averaged over, averaged, benchmarking, timed, minimize variance", 0, 8),
    _rule("step", "accumulation", "accumulation, accumulate, accumulated, accumulating", -0.5),
    _rule("step", "checkpoint_steps", _CHECKPOINT, 0),
    _rule("step", "interval_steps", "evaluated every, evaluate every, logged every, every", 4, 2),
    _rule("step", "sampling_steps", "diffusion, denoising, sampling, sampler, inference, ddim", 0, 5),
    _rule("epoch", "epochs", base=3),
    _rule("epoch", "warmup_epochs", _WARM, 0),
    _rule("epoch", "final_epochs", "last, final, cooldown, cool down", 0, 2),
    _rule("bare", "epochs", "epochs, number of epochs", 0.5, 3),
    _rule("bare", "steps", "steps, number of steps, iterations", 1.5, 2),
    _rule("bare", "warmup_steps", "warmup steps, warmup iterations, warm up steps", 0, 3),
    _rule("bare", "accumulation", "gradient accumulation, accumulation factor, accumulation of", 0, 5),
    _rule("step token sample", "partial", "first, last, after, remaining, initial, final", 4, 1),
    # shares
    _rule("percent", "mfu", "mfu, model flops utilization, model flops utilisation, model flop utilization, "
          "model flop utilisation, flops utilization, flops utilisation, flop utilization", 0, 10),
    _rule("percent", "mfu", "utilization, utilisation, of peak, of the peak, theoretical peak, peak performance, "
          "hardware efficiency, compute efficiency", 2, 8),
    _rule("percent", "hfu", "hfu, hardware flops utilization, hardware flops utilisation, hardware flop utilization", -0.5, 10),
    _rule("percent", "goodput", "goodput, uptime, availability, effective training time, productive", 0, 8),
    _rule("percent", "mask_ratio", "mask, masked, masking, mask ratio, masking ratio", 0, 10),
    _rule("percent", "mask_ratio", "hidden, patches are, patches were, removed patches, dropped patches, tubes are", 1, 6),
    _rule("percent", "warmup_share", _WARM + ", of iterations, of steps, of training, of training steps, of the iterations, "
          "of total steps, of the training, of the steps, of total iterations", 0.5),
    _rule("percent", "learning_rate_decay", "decay, decays, decayed, decaying, annealed, peak learning rate, of the peak, "
          "learning rate, maximum learning rate, initial learning rate, peak value", 0.3, 12),
    _rule("percent", "trainable_share", "trainable, parameters are, of the parameters, of parameters, tunable, "
          "of the weights, of all parameters", 0, 6),
    _rule("percent", "dropout", "dropout, drop path, drop, stochastic depth", -0.2, 6),
    _rule("percent", "score", "accuracy, top1, top5, top 1, score, scores, f1, map, recall, precision, wer, bleu, pass, mmlu, "
          "videomme, video mme, benchmark, benchmarks, subtitle, win rate, improvement, outperform, performance, "
          "exact match, error rate, correlation, error", 0.4, 9),
    _rule("percent", "mixture_share", "mixture, of the data, of data, of the corpus, of tokens, data mix, english, code, web, "
          "books, wikipedia, remaining, sampled from, of the dataset, of samples, proportion, of the training, text, upsampled, "
          "filtered, discarded, removed, deduplication, held out, validation, subset, split, commoncrawl, sources", 0.8, 8),
    _rule("percent", "change", "faster, slower, reduction, reduced, reduces, reducing, increase, increases, saving, savings, "
          "less, more, speedup, higher, lower, compared, improves, overhead, throughput by, relative", 0.8, 8),
    _rule("percent", "downtime", "downtime, lost to, failures", 0.5, 6),
    # time
    _rule("time", "wall_clock", _RUN, 1),
    _rule("calendar", "wall_clock", base=13),
    _rule("time", "step_time", "per step, per iteration, each step, each iteration, step time, iteration time, "
          "seconds per step, every step, every iteration, step took, step takes, a step, one step, iteration takes", 0, 8),
    _rule("time", "epoch_time", "per epoch, each epoch, every epoch, epoch takes, epoch took", 0, 6),
    _rule("time", "checkpoint_time", _CHECKPOINT, 0),
    _rule("time", "video_hours", "video, videos, audio, speech, footage, recordings, movies, film, recorded", 0.2, 6),
    _rule("time", "clip_seconds", "clip, clips, segments, second clips, chunks, windows, utterances, excerpts, long videos",
          0.3, 4),
    _rule("time", "downtime", "downtime, lost, restart, restarts, recovery, failures, outage, interruptions, mtbf, failure", -0.3, 6),
    _rule("gpu_time", "gpu_hours", base=1),
    _rule("node_time", "node_hours", base=1),
    # machine
    _rule("gpu", "gpus", base=3),
    _rule("gpu", "gpus_per_node", "each with, each equipped, per node, each containing, each having, each node, each featuring, "
          "each hosting, each comprising, each housing, nodes with, nodes of, servers with, each server, each machine, "
          "machines with, each consisting, per server, per machine, node has, node contains, equipped with, node", 0, 4),
    _rule("node", "nodes", base=3),
    _rule("bare", "tensor", "tensor parallel, tensor model parallel, tensor parallelism, tensor model parallelism, tp, "
          "tensormodel parallelism, tensorparallel, tensor parallel degree, tensor parallel size", 0, 7),
    _rule("bare", "pipeline", "pipeline parallel, pipeline parallelism, pipeline model parallelism, pp, pipelineparallel, "
          "pipeline stages, pipeline depth", 0, 7),
    _rule("stage", "pipeline", "pipeline", 0, 4),
    _rule("bare", "context", "context parallel, context parallelism, cp, sequence parallelism, sequence parallel", 0, 7),
    _rule("bare", "data_parallel", "data parallel, data parallelism, dp, dataparallel, fully sharded data parallel", 0, 5),
    _rule("replica worker rank", "data_parallel", "data parallel, replicas, workers", 2),
    _rule("bare", "zero_stage", "zero stage, zerostage, zero, zero optimization stage, deepspeed stage", 0, 2),
    _rule("bare", "count", "stage, phase, section, table, figure, version, level, equation, appendix", 0.2, 0.9, before=True),
    _rule("year", "year", "in, released, published, since, until, by, release, launched, during", 1, 4),
    _rule("year", "year", base=12),
    _rule("byte", "dataset_bytes", "dataset, corpus, data, totaling, totalling, totals, collection, compressed, storage, disk, "
          "text, videos, crawls, images, clips", 1, 12),
    _rule("byte", "memory_per_gpu", "memory, vram, hbm, hbm2e, hbm3, equipped, each with, each, gpu, gpus", 0.5, 6),
    _rule("byte", "count", "checkpoint, checkpoints, ram, host memory, system memory, cpu memory, buffer", 0, 5),
    _rule("bit/s", "network_bandwidth", base=2),
    _rule("byte/s", "bandwidth", base=2),
    # work
    _rule("flop", "model_flops", base=4),
    _rule("flop_days", "model_flops", base=1),
    _rule("flop/s", "flops_per_second_per_gpu", "per gpu, per device, per accelerator, each gpu, per chip, per card, "
          "achieved per, every gpu", 0, 8),
    _rule("flop/s", "flops_per_second", "aggregate, cluster, in total, total, system, overall, across, sustained", 2.5, 8),
    _rule("flop/s", "peak_flops", "peak, theoretical, capable", 1, 5),
    _rule("small_rate", "flops_per_second_per_gpu", base=6),
    _rule("large_rate", "flops_per_second", base=6),
    # energy, carbon, money
    _rule("energy", "energy", base=1),
    _rule("power", "tdp", "tdp, thermal design power, rated, thermal", 0, 8),
    _rule("power", "gpu_power", "per gpu, gpu, gpus, each, per device, per accelerator", 1, 8),
    _rule("power", "gpu_power", base=9),
    _rule("large_power", "power", base=2),
    _rule("bare percent", "pue", "pue, power usage effectiveness, usage effectiveness", 0, 6),
    _rule("co2", "carbon", base=1),
    _rule("money", "cost", base=4),
    # optimiser and the rest
    _rule("bare", "learning_rate", "learning rate, learning rates, lr, peak learning rate, base learning rate, peak of, "
          "warmed up to, warmup to, stepsize, learning rate of", 0.3),
    _rule("bare", "final_learning_rate", "minimum learning rate, final learning rate, min lr, minimum of, decay to, decays to, "
          "decayed to, decaying to, annealed to, decreased to, down to, end learning rate, floor, minimum learning rate of, "
          "final learning rate of, end learning rate of, minimum value of", 0, 6, before=True),
    _rule("bare percent", "weight_decay", "weight decay, weight decay of, wd, weight decay coefficient", 0, 5),
    _rule("bare", "beta1", "beta_1, beta1, \\beta_1, β1, β_1, betas", 0, 3),
    _rule("bare", "beta2", "beta_2, beta2, \\beta_2, β2, β_2", -0.2, 3),
    _rule("bare", "epsilon", "epsilon, eps, \\epsilon, ε, ϵ", 0, 3),
    _rule("bare", "momentum", "momentum", 0, 4),
    _rule("bare", "gradient_clipping", "clip, clipping, clipped, gradient norm, norm, max norm, gradient clipping", 0, 7),
    _rule("bare", "dropout", "dropout, drop path, stochastic depth, drop rate", 0, 5),
    _rule("bare", "temperature", "temperature", 0, 5),
    _rule("bare", "label_smoothing", "label smoothing, smoothing", 0, 4),
    _rule("bare", "vocabulary", "vocabulary, vocab, vocabulary size, codebook size", 0, 7),
    _rule("ratio", "change", base=2),
    _rule("bare word", "seq_len", "context to, context of, contexts of, sequence length, context length, context window, sequence lengths, context size, "
          "maximum length, max length", 0, 10),
    _rule("bare", "hidden", "hidden size, hidden dimension, model dimension, embedding dimension, width, hidden, dimension, "
          "dimensions, dmodel, dimensionality, embedding size", 0, 4),
    _rule("bare", "lora_rank", "rank, lora rank", 0, 3),
    _rule("dimension", "hidden", base=4),
    _rule("layer", "layers", base=4),
    _rule("layer", "decoder_layers", "decoder", 0, 7, subject=True),
    _rule("layer", "encoder_layers", "encoder", 0.1, 3, subject=True),
    _rule("head", "heads", base=4),
    _rule("expert", "experts", base=4),
    _rule("bare", "change", "faster, slower, speedup, improvement, times, fold", 0, 5),
    _rule("time_word", "change", base=6),
    _rule("bare", "score", "bleu, cider, fid, perplexity, loss, accuracy, score, wer, f1, map, auc, psnr, rouge", 0, 4),
    _rule("bare percent", "setting", "guidance scale, guidance, scale of, exponential moving average, ema, stride, temporal stride, threshold, seed, "
          "coefficient, loss weight, gamma, lambda, alpha, nucleus, top k, gating, capacity factor, ratio, factor, "
          "\\lambda, \\alpha, theta, base frequency, rope base, compression ratio, downsampling", 0.6, 5),
    _rule("language task dataset benchmark model word pod shot fold bit dimensional", "count", base=9),
    _rule("bare", "mask_ratio", "masking ratio, mask ratio, masking probability, mask probability, masking rate", 0, 5),
)  # fmt: skip


@functools.cache
def _rules(unit: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if unit in rule.units)


def head_noun(items: Sequence[Item], index: int) -> tuple[str, int]:
    """The counted thing behind a figure (``150 million high-quality video-text pairs``) and where it stands."""
    figure = items[index]
    assert isinstance(figure, Figure)
    from gpuhours.claims.figures import noun

    best, at = (figure.unit, index) if figure.unit in THING_UNITS else ("", index)
    if figure.joined and figure.unit:
        return figure.unit, index
    if figure.unit and figure.unit not in THING_UNITS and not (figure.unit == "gpu" and figure.device):
        return figure.unit, index
    if figure.per:
        return figure.unit, index
    hopped = 0
    for position in range(index + 1, min(index + 7, len(items))):
        item = items[position]
        lowered = item.text.lower()
        if item.kind == "mark" and item.text in "-–":
            continue
        if item.kind != "word" or lowered in HOP_STOPS:
            break
        name = noun(lowered)
        if name == "gpu" or (name not in THING_UNITS and name not in ("sequence", "dimension", "gpu")):
            hopped += 1
            if best or hopped > 4:
                break
            continue
        best, at = name, position
        hopped = 0
    return best or figure.unit, at


def place(items: Sequence[Item], index: int, first: int, last: int) -> Place | None:
    """The quantity of the figure at ``index``, judged by the items ``first`` to ``last`` of its sentence."""
    figure = items[index]
    assert isinstance(figure, Figure)
    told = _by_rate(figure)
    if told is not None:
        return Place(told, figure.text, 0.0) if _plausible(told, figure) else None
    if figure.per and not set(figure.per) <= HARMLESS:
        return None
    unit, at = head_noun(items, index)
    stems = _stems(tuple(items[first:last]))
    best: Place | None = None
    kinds = _unit_kinds(figure, unit)
    if "scaled" in kinds and not unit and index > first and _is_name(items[index - 1]):
        kinds = ("named",)
    for kind in kinds:
        for rule in _rules(kind):
            if not _plausible(rule.quantity, figure):
                continue
            cost, because = _cost(rule, stems, index - first, at - first, items[first:last])
            if cost <= DEAREST and (best is None or cost < best.cost):
                best = Place(rule.quantity, because, cost)
    return best


def _is_name(item: Item) -> bool:
    """``Marlin 34B``: a capitalised word directly before a size."""
    return item.kind == "word" and item.text[:1].isupper() and len(item.text) > 1 and item.text.lower() not in HOP_STOPS


def _unit_kinds(figure: Figure, unit: str) -> tuple[str, ...]:
    """The units a figure may be looked up under."""
    kinds = [unit]
    if figure.scale in ("b", "t", "billion", "trillion", "m", "million", "bn") and unit in ("", "model"):
        kinds.append("scaled")
    if unit == "sequence" and figure.value <= 65_536:
        kinds = ["small_sequence", "sequence"]
    if unit == "time" and figure.word.lower()[:3] in ("day", "wee", "mon", "yea"):
        kinds.append("calendar")
    if unit == "time" and figure.text.lower().rstrip("s").endswith("time"):
        kinds = ["time_word"]
    if unit == "" and figure.text[-1:] in "x×":
        kinds = ["ratio"]
    if unit == "flop" and _is_rate(figure):
        kinds = ["flop/s"]
    if kinds[0] == "flop/s":
        kinds.append("small_rate" if figure.value < 5e15 else "large_rate")
    if unit == "power" and figure.value > 5000:
        kinds = ["large_power"]
    if unit == "" and 1990 <= figure.value <= 2035 and len(figure.digits) == 4 and figure.text.strip().isdigit():
        kinds.append("year")
    return tuple(kinds)


def _is_rate(figure: Figure) -> bool:
    """``400 TFLOPs`` is a rate whatever its s stands for: no training run is that small."""
    return figure.value < 1e17 and figure.word[:1] in "tTpPgG"


def _by_rate(figure: Figure) -> str | None:
    """Figures whose unit alone says what they are: tokens per second, frames per clip, dollars per GPU-hour."""
    per = set(figure.per)
    rates: dict[tuple[str, frozenset[str]], str] = {
        ("token", frozenset({"second"})): "tokens_per_second",
        ("token", frozenset({"second", "gpu"})): "tokens_per_second_per_gpu",
        ("sample", frozenset({"second"})): "samples_per_second",
        ("sequence", frozenset({"second"})): "samples_per_second",
        ("token", frozenset({"frame"})): "tokens_per_frame",
        ("patch", frozenset({"frame"})): "tokens_per_frame",
        ("token", frozenset({"sample"})): "tokens_per_sample",
        ("token", frozenset({"sequence"})): "seq_len",
        ("token", frozenset({"step"})): "global_batch_tokens",
        ("sample", frozenset({"step"})): "global_batch",
        ("sequence", frozenset({"step"})): "global_batch",
        ("frame", frozenset({"sample"})): "frames_per_clip",
        ("frame", frozenset({"sequence"})): "frames_per_clip",
        ("frame", frozenset({"second"})): "frame_rate",
        ("sample", frozenset({"gpu"})): "microbatch",
        ("sequence", frozenset({"gpu"})): "microbatch",
        ("gpu", frozenset({"node"})): "gpus_per_node",
        ("time", frozenset({"step"})): "step_time",
        ("time", frozenset({"epoch"})): "epoch_time",
        ("byte", frozenset({"gpu"})): "memory_per_gpu",
        ("flop/s", frozenset({"gpu"})): "flops_per_second_per_gpu",
        ("flop", frozenset({"gpu"})): "flops_per_second_per_gpu",
        ("flop", frozenset({"second", "gpu"})): "flops_per_second_per_gpu",
        ("money", frozenset({"gpu", "hour"})): "price",
        ("co2", frozenset({"energy"})): "carbon_intensity",
        ("power", frozenset({"gpu"})): "gpu_power",
    }
    return rates.get((figure.unit, frozenset(per)))


def accepts(quantity: str, figure: Figure) -> bool:
    """Whether a figure with this unit can be that quantity at all; a bare number can."""
    if _by_rate(figure) == quantity or (not figure.unit and not figure.per):
        return True
    kinds = set(_unit_kinds(figure, figure.unit)) | ({"sample", "sequence"} & {figure.unit})
    return not figure.per and any(rule.quantity == quantity and rule.units & kinds for rule in RULES)


def unit_factor(quantity: str, figure: Figure) -> float:
    """From the base unit a figure was read in to the unit of its quantity (hours of video, kilograms)."""
    if quantity == "video_hours" and figure.unit == "time":
        return 1 / HOUR
    return 1000.0 if quantity == "carbon_intensity" and figure.unit == "co2" else 1.0


def _plausible(quantity: str, figure: Figure) -> bool:
    entry = QUANTITIES[quantity]
    value = figure.value * unit_factor(quantity, figure)
    return entry.least <= value <= entry.most and (value == round(value) or not entry.whole)


Stems = tuple[tuple[str, ...], ...]


@functools.lru_cache(maxsize=64)
def _stems(items: tuple[Item, ...]) -> Stems:
    """The words of each item, lower-case; ``warm-up`` also as ``warmup`` and as ``warm up``."""
    return tuple(_words(item) for item in items)


def _words(item: Item) -> tuple[str, ...]:
    if isinstance(item, Figure):
        return ("#", *item.word.lower().split(), *(("per", *item.per) if item.per else ()))
    return tuple(item.text.lower().replace("’", "'").split())


def _cost(rule: Rule, stems: Stems, index: int, at: int, items: Sequence[Item]) -> tuple[float, str]:
    """Distance to the nearest of the rule's words, and which it was."""
    if not rule.words:
        return rule.base, ""
    best, because = DEAREST + 1, ""
    for position, word in _matches(rule.words, stems):
        length = word.count(" ")
        if position <= index <= position + length and not position == index:
            distance = 0.0
        elif position + length < index:
            distance = float(index - position - length - 1) + _crossings(items, position + length + 1, index)
        elif position > index:
            distance = 0.4 * max(0, min(position, at) - index - 1) + 1.25 * max(0, position - at - 1)
            distance += 0.4 + _crossings(items, max(at, index) + 1, position)
        else:
            distance = 0.0
        if rule.before and position > index:
            continue
        if rule.subject and position <= 3:
            distance = min(distance, SUBJECT_DISTANCE)
        cost = distance + rule.base - 0.15 * length
        if distance <= rule.reach and cost < best:
            best, because = cost, word
    return best, because


def _crossings(items: Sequence[Item], first: int, last: int) -> float:
    """What stands between: a comma or an ``and`` starts another thought, another figure has its own words."""
    cost = 0.0
    for item in items[first:last]:
        if item.kind == "figure":
            cost += 2.5
        elif item.kind == "mark":
            cost += 2.0 if item.text == "," else 0.3
        elif item.text.lower() in ("and", "followed", "with", "while", "whereas", "alongside", "then"):
            cost += 2.5
    return cost


@functools.lru_cache(maxsize=4096)
def _matches(words: tuple[str, ...], stems: Stems) -> tuple[tuple[int, str], ...]:
    """Where each of ``words`` stands; a word of several parts may be joined by hyphens (``tensor-model parallelism``)."""
    found = []
    flat = [(_singular(part), i) for i, parts in enumerate(stems) for whole in parts for part in _parts(whole)]
    spelled = [part for part, _ in flat]
    for word in words:
        parts = [_singular(part) for part in word.split()]
        for start in range(len(spelled) - len(parts) + 1):
            if spelled[start : start + len(parts)] == parts:
                found.append((flat[start][1], word))
    joined = [(i, whole.replace("-", "")) for i, parts in enumerate(stems) for whole in parts if "-" in whole]
    found += [(i, whole) for i, whole in joined if whole in words]
    return tuple(found)


def _singular(word: str) -> str:
    """``checkpoints`` and ``checkpoint`` are one word; ``loss`` is none."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _parts(word: str) -> list[str]:
    return [part for part in word.replace("-", " ").split() if part] or [word]
