"""The words that tell what a figure is: one rule a line, looked up by the figure's unit (see ``placing``)."""

from __future__ import annotations

from gpuhours.inputs.records import dataclass

REACH = 14
"""Words between a figure and what points to it."""


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


def _rule(
    units: str,
    quantity: str,
    words: str = "",
    base: float = 0.0,
    reach: float = REACH,
    *,
    subject: bool = False,
    before: bool = False,
) -> Rule:
    listed = tuple(word.strip() for word in words.split(",") if word.strip())
    kinds = frozenset("" if unit == "bare" else unit for unit in units.split())
    return Rule(kinds, quantity, listed, base, reach, subject, before)


_WARM = (
    "warmup, warm up, warmed, warming, ramp, ramps, ramped, climbs, climbing, rises to, rising to, grows linearly, rate grows, "
    "increases linearly, linear increase, rises linearly, rises, rose, climbed, rate grew, grew linearly, increased linearly, "
    "is raised, was raised, raised linearly, goes up, went up, rate increased, rate is increased"
)
_CHECKPOINT = "checkpoint, checkpointing, checkpointed, save every, saved every, snapshots"
WITHOUT_COPIES = (
    "once duplicates", "duplicates are gone", "duplicates are removed", "duplicates were removed", "without duplicates",
    "after deduplication", "once deduplicated", "after filtering", "once filtered", "after cleaning", "once cleaned",
)  # fmt: skip
"""Phrases beside the tokens of a corpus, which are those seen where it is read once."""
_RUN = (
    "training, trained, train, pretraining, pretrained, pretrain, took, spanned, lasted, lasts, lasting, spanning, ran, run, "
    "completed, complete, duration, make, makes, made, done in, was done, occupied, gone after, wallclock, wall clock, "
    "required, requiring, finished, entire, phase, continuous, job, long, busy, "
    "busy for, kept, learned, learnt, needed, elapsed, walltime, wall time, runtime, run time, went by, clears, finishes, "
    "done in, over in, time to train, time to target, time to solution, time to accuracy, time to convergence"
)

RULES: tuple[Rule, ...] = (
    # parameters
    _rule("parameter", "parameters", base=5),
    _rule("parameter", "parameters", "total, totaling, totalling, comprises, overall, altogether, in total", 0, 6),
    _rule("parameter scaled", "active_parameters", "active, activated, activates, activating, active per token, "
          "at work, act on, acts on, "
          "work on a token, works on a token, take part, takes part, taking part, participate, participates, used per token, "
          "used for each token, in a forward pass, per forward pass, in each forward pass, are engaged, engaged per token, "
          "compute on a token, fire per token, of them for a token, of them for each token, "
          "of them for every token, of them for one token, "
          "of them per token, of them on a token, of these for a token, of these for each token, of these per token, at a time", 0, 7),
    _rule("parameter scaled", "active_parameters", "switches on, switched on, switching on, turns on, turned on, "
          "activates only, uses only, touches, routes to, token meets, token uses, token sees, token visits, token touches, "
          "token activates", -0.3, 4,
          before=True),
    _rule("scaled", "trainable_parameters", "trainable, trainable parameters, trainable params", 0.3, 3, before=True),
    _rule("parameter", "trainable_parameters", "trainable, tunable, adapter, adapters, lora, updated, learnable", 0.5, 6),
    _rule("parameter bare", "vision_parameters",
          "visual backbone, vision backbone, image backbone, vision encoder, video encoder, image encoder, "
          "visual encoder, vision tower, vision transformer", 0.2, 5,
          subject=True),
    _rule("parameter bare", "language_parameters",
          "language decoder, text decoder, language backbone, llm backbone, language component, language model component",
          0.2, 5, subject=True),
    _rule("scaled model", "parameters", "model, parameters, transformer, network, variant, size, params, weights, checkpoint, "
          "dit, unet, llm, vlm, vla, mllm, lmm, moe, policy", 3, 5),
    _rule("scaled", "parameters", "tower of, encoder of, network of, model of, transformer of, decoder of, policy of, backbone of",
          0, 0.9, before=True),
    _rule("scaled", "parameters", "base", 3, 0.9),
    _rule("scaled", "parameters", "encoder, decoder-only, dense, backbone", 3, 0.9),
    _rule("scaled", "parameters", "latent decoder, video decoder, image decoder, upsampler, upscaler, super-resolution, autoencoder, vae, "
          "vqgan, prior, diffusion, generator, vocoder, refiner, reward model, critic, tokenizer, retriever, reranker, embedder, "
          "classifier, denoiser, teacher, student, sibling", 3, 1.2),
    _rule("scaled", "language_parameters", "decoder", 3, 0.9),
    _rule("parameter", "vision_parameters", "encoder, vit, tower", 0.6, 2.5, before=True),
    # tokens
    _rule("token", "tokens", base=6),
    _rule("token", "tokens", "total, trained on, training on, corpus, consumed, processed, pretraining, trained for, seen", 1, 8),
    _rule("token", "tokens", "gone through, went through, passed through, are through, were read, ingested, digested, reads, "
          "read, had seen, "
          "sees, saw, learned from, tokens in, tokens seen, over", 0.8, 4),
    _rule("token", "seq_len",
          "sequence length, context length, context window, context size, sequence lengths, length, sequences of, "
          "pieces of, window, maximum length, max length, contexts of, truncated, context, sequences are, tokens long, long, "
          "sequences contain, sequences with, each sequence, sequences, cropped to, truncated to, padded to, cut to, "
          "extension to, extended to, sample has, samples have, sequence has, sequences have, example has, examples have", 0),
    _rule("token", "global_batch_tokens", "batch size, effective batch size, tokens per batch, batch tokens", -2, 8),
    _rule("token", "seq_len", "each", -0.6, 0.9),
    _rule("short_token", "seq_len", base=-1),
    _rule("token", "global_batch_tokens", "batch, batch size, batches", 0),
    _rule("token", "vocabulary", "vocabulary, vocab, tokenizer, bpe, sentencepiece, codebook", 0, 8),
    _rule("token", "warmup_tokens", _WARM, 0),
    _rule("token", "visual_tokens", "visual tokens, video tokens, vision tokens, image tokens", 0, 3),
    _rule("token", "text_tokens", "text tokens, text data, textual, purified text, text only, text corpus", 0.5, 5),
    _rule("token", "dataset_tokens", "unique, dataset of, deduplicated, dataset, combined dataset, dataset size, data set, "
          "training set, set contains, corpus contains, data contains, dataset contains, "
          "distinct, pool of, one epoch of, an epoch of, one epoch, one pass, a single pass", 0.5, 5),
    _rule("token", "tokens", ", ".join(WITHOUT_COPIES), -0.3, 3),
    _rule("token", "dataset_tokens", "mix, mixture, pool, pass over, passes over, epoch over, epochs over, repetitions of", -0.6, 1),
    _rule("token", "tokens_per_frame", "each frame, per frame, every frame", 0, 8),
    _rule("residue", "dataset_tokens", base=6),
    _rule("residue token", "seq_len", "longer than, crops of, cropped, cropped to, truncated to, cut to, "
          "cut at, cut off at, cut after, cropped at, truncated at, truncated after, clipped at, clipped to, capped at, limited to, "
          "input length, inputs of, padded to", -0.4, 2.5),
    _rule("residue", "tokens", "trained on, training on, trained for, consumed, processed, in total, seen", 0, 3),
    _rule("scaled", "tokens", "trained on, training on, trained over, trained for, corpus of", 2, 4, before=True),
    _rule("scaled", "tokens", "tokens, number of tokens, token count", 0.5, 5, before=True),
    _rule("token", "base_tokens",
          "from a base model, a base model that, initialized from, initialised from, base model had, had seen, base model was, "
          "originally, "
          "base model saw, base checkpoint", -3, 8),
    _rule("named", "parameters", base=2),
    _rule("token", "global_batch_tokens", "steps of, iterations of, updates of, batches of", -0.8, 0.5, before=True),
    _rule("token", "dataset_tokens", "curated, collected, gathered, assembled, prepared, filtered, crawled", 0, 0.9, before=True),
    _rule("token", "global_batch_tokens", "each iteration, per iteration, each step, every step, every iteration", 0.3, 3),
    # samples
    _rule("millions", "dataset_samples", "trained on, pretrained on, objective on, train on, training on, "
          "learned from", 4, 5, before=True),
    _rule("millions", "dataset_samples", "data, samples, pairs, images, clips", 2, 1, before=True),
    _rule("millions", "dataset_samples", "training set, dataset, data set, corpus, collection, database", 3, 5, before=True),
    _rule("bare sample sequence", "microbatch", "per gpu, per device, per accelerator, on each gpu, per card", -0.6, 2.5),
    _rule("bare sample sequence", "microbatch", "per gpu the batch was, per gpu the batch is, batch per gpu, "
          "per gpu batch was", -0.8, 2, before=True),
    _rule("sample sequence", "dataset_samples", base=7),
    _rule("sample sequence", "dataset_samples", "dataset, corpus, collection, consists, comprising, million, curated", 4, 12),
    _rule("sample sequence bare", "global_batch", "batch, batch size, batchsize, bs, gbs, minibatch, batches, per iteration, "
          "per update, per step, a step, an update, "
          "each update", 0),
    _rule("sample sequence bare", "microbatch",
          "micro batch, microbatch, micro bs, "
          "mbs, per gpu batch size, per device batch size, micro batch size, per gpu batch, local batch, "
          "every card, each card, every gpu, each device, every device, "
          "per device batch, device batch", -0.5),
    _rule("sample sequence", "evaluation_size", "evaluation, evaluate, evaluated, test, validation, heldout, held out, "
          "benchmark, annotators", 1, 8),
    _rule("sample sequence", "samples", "in total, seen in total", 1.5, 4),
    _rule("sample sequence", "samples", "processes, processed", 1.5, 0.5, before=True),
    _rule("sample sequence", "samples", "samples seen, seen, in total processed", 0, 4),
    _rule("sample sequence bare", "global_batch", "each iteration, every iteration, each step, every step, each gradient step, "
          "each training step, every training step, iteration samples, step samples, iteration draws, step draws, step uses, "
          "iteration uses, step sees, a step sees, step consumes, step processes, iteration processes, batch holds, batch contains, "
          "batch has, batch consists", -0.4, 2.5, before=True),
    _rule("small_sequence", "global_batch", base=8),
    _rule("sample sequence bare", "global_batch", "accumulation to, accumulated to, accumulating to, accumulate to, accumulation up to, "
          "effective batch of", -1, 1, before=True),
    _rule("sample sequence", "global_batch", "iterations of, steps of, updates of, steps at, batches of", -0.3, 1, before=True),
    _rule("cut", "dataset_samples", base=10),
    _rule("plural", "dataset_samples", "epochs, epoch, passes, pass", -0.3, 0.5, before=True),
    _rule("plural", "dataset_samples", "epochs over, epoch over, passes over, pass over, epochs on, over", -0.5, 1, before=True),
    _rule("plural", "dataset_samples", "trained on, data, training data, dataset, data set, corpus, collection, collected, gathered, "
          "curated, scraped", 3.5, 5, before=True),
    # frames and pictures
    _rule("frame", "frames_per_clip", base=5),
    _rule("rate", "frame_rate", base=1),
    _rule("hertz", "sample_rate", base=1),
    _rule("picture", "resolution", base=2),
    _rule("dims pixel", "resolution", "pixels, resolution, resized, images, frames, crops, inputs, video, videos", 1, 9),
    _rule("dims pixel", "patch_size", "patch, patches, patchify, tubelet, tubelets", -0.3, 4),
    _rule("bare", "patch_size", "patch size, patches of", 0, 5),
    _rule("bare", "resolution", "picture size, resolution, resolution of, resolutions, res, input size, image size, img size, "
          "crop size", 0, 5),
    _rule("patch", "tokens_per_frame", "per frame, each frame", 1, 6),
    _rule("patch query", "queries", "queries, learnable, latent, resampler, query", 1),
    # steps and epochs
    _rule("step", "steps", base=5),
    _rule("step", "steps", "stop after, stopped after, ends after, ended after, finished after, terminated after, converged after, "
          "until step, halted after", 0, 1, before=True),
    _rule("step", "warmup_steps", _WARM, 0),
    _rule("step", "measured_iterations", "averaged over, averaged, benchmarking, timed, minimize variance", 0, 8),
    _rule("step", "accumulation", "accumulation, accumulate, accumulated, accumulating", -0.5),
    _rule("bare", "checkpoint_steps", "save interval, save steps, save every, checkpoint interval, checkpoint every, "
          "ckpt interval", 0, 2, before=True),
    _rule("step", "checkpoint_steps", "save every, saved every, checkpoint every, checkpoints every, "
          "checkpointed every, checkpointing every, "
          "snapshots every, checkpoint interval, checkpointing interval, save interval, checkpoint frequency, between checkpoints", -1.5),
    _rule("every_step", "checkpoint_steps", _CHECKPOINT, -2, subject=True),
    _rule("step", "interval_steps", "evaluated every, evaluate every, logged every, every", 4, 2),
    _rule("step", "sampling_steps", "diffusion, denoising, sampling, sampler, inference, ddim", 0, 5),
    _rule("epoch", "epochs", base=3),
    _rule("epoch", "warmup_epochs", _WARM, 0),
    _rule("epoch", "count", "over this part, over that part, over the rest, over this portion, over this subset, over the former, "
          "over the latter, of the former, of the latter, over its", 0, 4),
    _rule("epoch", "final_epochs", "the last, in the last, final, cooldown, cool down", 0, 2),
    _rule("bare", "epochs", "epochs, number of epochs", 0.5, 3),
    _rule("bare", "steps", "steps, number of steps, iterations", 1.5, 2),
    _rule("bare", "steps", "number of updates is, number of updates was, number of steps is, number of steps was, "
          "number of iterations is, "
          "number of iterations was, updates is, number of updates, number of iterations", 0, 2, before=True),
    _rule("bare", "partial", "at iteration, at step, from step, from iteration, resume from, at update, "
          "until iteration", 0, 1, before=True),
    _rule("bare", "warmup_steps", "warmup, warm up", 0.5, 1.5, before=True),
    _rule("bare", "warmup_steps", "warmup, warm up", -0.5, 0.5),
    _rule("bare", "warmup_steps", "warmup steps, warmup iterations, warm up steps", 0, 3),
    _rule("step bare", "accumulation", "micro steps, microsteps", -0.6, 2),
    _rule("sample bare", "accumulation", "accumulate gradients over, accumulated over, accumulating over, accumulate over, "
          "accumulate gradients, accumulating gradients, accumulated gradients, gradients are accumulated, "
          "accumulate gradients of, accumulated gradients over, gradients over, accumulate gradients for, gradients for", -1.6, 1.5,
          before=True),
    _rule("bare", "accumulation", "accumulation, gradient accumulation, grad accum, accum, grad acc, gradient acc, acc steps, "
          "accum steps, update freq, accumulation factor, accumulation of, accumulating, "
          "accumulated, accumulate, "
          "accumulation steps, micro batches", -0.6, 5),
    _rule("step", "count", "rolled back, rewound, went back, skipped, redid", 0, 1, before=True),
    _rule("step token sample", "partial", "first, last, after, remaining, initial, final", 4, 1),
    # shares
    _rule("percent", "mfu", "mfu, model flops utilization, model flops utilisation, model flop utilization, "
          "model flop utilisation, flops utilization, flops utilisation, flop utilization", 0, 10),
    _rule("percent", "mfu", "utilization, utilisation, of peak, of the peak, theoretical peak, peak performance, "
          "hardware efficiency, compute efficiency, of what the card can do, of what the hardware can, "
          "of what the gpu can, model flops, "
          "of peak flops, of its peak, of their peak, bf16 peak, fp16 peak, dense peak, dense bf16 peak, peak bf16, peak throughput, "
          "peak bf16 rate, bf16 rate, fp16 rate, peak rate, card's peak, chip's peak, gpu's peak, device's peak, "
          "relative to peak, relative to the peak, model throughput, "
          "share of peak, fraction of peak, of the dense, of what the cards could, of what the chips, "
          "of what the hardware could, peak compute", 2, 8),
    _rule("percent", "mfu", "peak", 3, 3),
    _rule("bare", "mfu", "mfu, mfu of, model flops utilization, model flops utilisation", 0, 4),
    _rule("bare", "hfu", "hfu, hfu of", 0, 4),
    _rule("percent", "hfu", "hfu, hardware flops utilization, hardware flops utilisation, hardware flop utilization", -0.5, 10),
    _rule("percent", "goodput", "goodput, uptime, availability, effective training time, productive, effective training, "
          "useful training, of the time, "
          "of wall clock", 0, 8),
    _rule("percent", "mask_ratio", "mask, masked, masking, mask ratio, masking ratio", 0, 10),
    _rule("percent", "mask_ratio", "hidden, patches are, patches were, removed patches, dropped patches, tubes are", 1, 6),
    _rule("percent", "setting", "become a mask, become mask, becomes a mask, are replaced, is replaced, were replaced, "
          "left unchanged, kept unchanged", -3, 5),
    _rule("percent", "warmup_share", _WARM + ", of iterations, of steps, of training, of training steps, of the iterations, "
          "of total steps, of updates, of the updates, of the training, of the steps, of total iterations", 0.5),
    _rule("small", "warmup_share", "warmup ratio, warmup fraction, warm up ratio, warm up fraction", -0.2, 3, before=True),
    _rule("percent", "warmup_share", "of warmup, of warm up, warmup of, warm up of, of linear warmup, warmup ratio, "
          "warmup fraction", -0.6, 3),
    _rule("percent", "learning_rate_decay", "decay, decays, decayed, decaying, annealed, peak learning rate, "
          "learning rate, maximum learning rate, initial learning rate", 0.3, 12),
    _rule("percent", "trainable_share", "trainable, parameters are, of the parameters, of parameters, tunable, "
          "of the weights, of all parameters", 0, 6),
    _rule("percent", "dropout", "dropout, drop path, stochastic depth", -0.2, 6),
    _rule("percent", "score", "accuracy, top1, top5, top 1, score, scores, f1, map, recall, precision, wer, bleu, pass, mmlu, "
          "videomme, video mme, benchmark, benchmarks, subtitle, win rate, improvement, outperform, performance, "
          "exact match, error rate, correlation, error", 0.4, 9),
    _rule("percent", "mixture_share", "mixture, of the data, of data, of the corpus, of tokens, data mix, english, code, web, "
          "books, wikipedia, remaining, sampled from, of the dataset, of samples, proportion, of the training, text, upsampled, "
          "filtered, discarded, removed, deduplication, held out, validation, subset, split, commoncrawl, sources", 0.8, 8),
    _rule("percent", "change", "faster, slower, drop by, drops by, dropped, reduction, reduced, reduces, reducing, "
          "increase, increases, "
          "saving, savings, less, more, speedup, higher, lower, compared, improves, overhead, throughput by, relative", 0.8, 8),
    _rule("percent", "downtime", "downtime, lost to, failures, restarts cost, cost us, was lost, were lost", 0, 6),
    # time
    _rule("time", "wall_clock", _RUN, 1),
    _rule("hours", "wall_clock", "tokens in, steps in, epochs in, updates in, iterations in, done, expect, eta, "
          "total time", 3, 1, before=True),
    _rule("hours", "wall_clock", "for, in, within, took, after, over, during", 8, 0.9, before=True),
    _rule("time", "gpu_hours", "hours used", -2, 3, before=True),
    _rule("instant", "step_time", "steps take, step takes, iterations take, iteration takes, updates take, update takes, "
          "steps took, "
          "step took, step lasts, steps last, step lasted, iteration lasts, update lasts, "
          "step needs, step needed, iteration needs", -0.5, 3,
          before=True),
    _rule("instant", "step_time", "one every, one update every, one step every", -0.5, 1, before=True),
    _rule("many_hours", "video_hours", "clips, data, dataset, data set, corpus, collection, recordings, videos, footage", 0, 9),
    _rule("hours", "wall_clock", "on", 8, 1),
    _rule("hours", "wall_clock", "whole thing, thing takes, training takes, run takes", 0, 2, before=True),
    _rule("beside_a_run", "wall_clock", base=14),
    _rule("time", "count", "time limit, timelimit, limit", -6, 2, before=True),
    _rule("gpu", "count", "is split, are split, is divided, are divided", -1, 1.5, before=True),
    _rule("bare", "pipeline", "pipeline of, pipelines of", -0.5, 0.9, before=True),
    _rule("token capped", "count", "at a time, on a card, on each card, on a gpu, on each gpu, on one gpu, "
          "on every gpu, on a device", -1.5, 1),
    _rule("step", "count", "epoch has, epoch is, epoch takes, epoch contains, epoch consists of, epoch of, epoch needs", -1, 1.5,
          before=True),
    _rule("gpu", "count", "per process, per rank, per worker, per task", -0.5, 1.5),
    _rule("time", "count", "reserved for, rented for, booked for, leased for, spread, reserved, booked", -1, 1, before=True),
    _rule("hours", "wall_clock", "in total, total, altogether, all in all", 3, 1.5),
    _rule("time", "wall_clock", "record, current record, new record, our record, record is, record of, record time", 0, 2, before=True),
    _rule("time", "step_time", "steps at, iterations at, updates at, steps of, iterations of", -0.5, 2, before=True),
    _rule("time", "count", "window of, in a window, snapshot, logged, interruptions, observation", -0.2, 6),
    _rule("calendar", "wall_clock", base=13),
    _rule("dates", "wall_clock", _RUN + ", dates, period, took place, held", 0, 9),
    _rule("dates", "count", "collected, recorded, crawled, scraped, gathered, filmed, written, published, posts, news, "
          "data from, annotated", -0.5, 9),
    _rule("instant", "step_time", "per step, per iteration, each step, each iteration, step time, iteration time, "
          "seconds per step, every step, every iteration, a step, one step, iteration takes, an iteration, dt, training step, "
          "optimizer step, optimiser step", 0, 8),
    _rule("time", "epoch_time", "per epoch, each epoch, every epoch, epoch takes, epoch took", 0, 6),
    _rule("time", "checkpoint_time", _CHECKPOINT, 0),
    _rule("time", "video_hours",
          "video, videos, television, broadcasts, footage, recordings, movies, film, recorded", 0.2, 6),
    _rule("time", "audio_hours", "audio, speech, music, sound, audiobooks, recitation, podcasts, songs, voice, voices, spoken", 0.1, 6),
    _rule("time", "clip_seconds", "average duration, average length, mean duration, seconds long", 0, 4),
    _rule("time", "clip_seconds", "clip, clips, segments, second clips, chunks, windows, utterances, excerpts, long videos",
          0.3, 4),
    _rule("time", "downtime", "down for, everything down, downtime, lost, stop, stops, stopped, restart, restarts, restarted, "
          "recovery, failures, outage, "
          "interruptions, mtbf, failure, fault, queue, queued, waited, waiting, "
          "idle, stood still, between failures", -0.3, 6),
    _rule("time", "downtime", "longest stop, longest outage, longest interruption, longest pause, longest failure", -14, 14, before=True),
    _rule("time", "count", "label, labelling, annotating, annotation, of grasps, of driving, of flight, of play, "
          "of teleoperation, robots, deadline", 0.1, 5),
    _rule("short_time", "clip_seconds", base=3),
    _rule("gpu_time", "gpu_hours", base=1),
    _rule("node_time", "node_hours", base=1),
    _rule("bare", "gpu_hours", "number of gpu hours, total gpu hours, amount of gpu hours", 0, 6, before=True),
    # machine
    _rule("gpu", "gpus", base=3),
    _rule("gpu", "gpus_per_node", "each with, each equipped, per node, each containing, each having, each node, each featuring, "
          "each hosting, each comprising, each housing, nodes with, nodes of, servers with, each server, each machine, "
          "machines with, each consisting, per server, per machine, node has, node contains, equipped with, node, "
          "each holding, holding, "
          "in each, a node, per box, in every, "
          "holds, each carrying, with each, box of, node is, boxes of", 0, 4),
    _rule("gpu", "gpus_per_node", "each, apiece", 0.3, 1),
    _rule("node", "nodes", base=3),
    _rule("node gpu", "count", "swapped out, swapped, replaced, failed, died, broke, broken, lost, faulty, cordoned, exchanged, "
          "failure, failures, outage, outages, crash, crashes, "
          "spare, falling off, fell off, fallen off", 0, 4),
    _rule("node", "count", "cpu, cpu servers, cpu nodes, cpu machines", -1.5, 1.5),
    _rule("gpu", "count", "itself as, themselves as, appears as, appear as, shows up as, show up as, seen as, visible as, exposed as, "
          "presented as", 0, 0.9, before=True),
    _rule("gpu", "count", "to generate, for self play, as actors, for actors, to act, for rollouts, to serve", 0, 1.5),
    _rule("time step", "count", "restarted, failed, crashes, hangs, by hand", 0.5, 4),
    _rule("bare way", "tensor", "tensor parallel, tensor model parallel, tensor parallelism, tensor model parallelism, tp, "
          "tensormodel parallelism, tensorparallel, tensor parallel degree, tensor parallel size, tensor parallelism rank", 0, 7),
    _rule("bare way", "pipeline", "pipeline parallel, pipeline parallelism, pipeline model parallelism, pp, pipelineparallel, "
          "pipeline model parallel, "
          "pipeline stages, pipeline depth, pipeline parallelism rank", 0, 7),
    _rule("way", "tensor", "tensor", 0.2, 1.5),
    _rule("way", "pipeline", "pipeline", 0.2, 1.5),
    _rule("way", "data_parallel", "data", 0.2, 1.5),
    _rule("capped", "seq_len", base=-0.5),
    _rule("stage", "pipeline", "pipeline", 0, 4),
    _rule("bare way", "context", "context parallel, context parallelism, cp, sequence parallelism, sequence parallel", 0, 7),
    _rule("bare way", "data_parallel", "data parallel, data parallelism, dp, dataparallel, fully sharded data parallel", 0, 5),
    _rule("replica worker rank", "data_parallel", "data parallel, replicas, workers", 2),
    _rule("bare", "tensor", "tensor", -0.2, 0.5, before=True),
    _rule("bare", "pipeline", "pipeline", -0.2, 0.5, before=True),
    _rule("bare", "context", "context parallel, cp", -0.2, 0.5, before=True),
    _rule("bare", "data_parallel", "data shards", -0.3, 1.5, before=True),
    _rule("shard", "data_parallel", "data, data shards", -0.3, 1.5, before=True),
    _rule("shard bare", "tensor", "model shards", -0.3, 1.5, before=True),
    _rule("bare", "data_parallel", "data", -0.2, 0.5, before=True),
    _rule("bare", "patch_size", "patch", 0.2, 0.5, before=True),
    _rule("bare", "resolution", "input", 0.2, 0.5, before=True),
    _rule("bare", "zero_stage", "zero stage, zerostage, zero, zero optimization stage, deepspeed stage", 0, 2),
    _rule("bare", "count", "stage, phase, section, table, figure, version, level, equation, appendix", 0.2, 0.9, before=True),
    _rule("year", "year", "in, released, published, since, until, by, release, launched, during", 1, 4),
    _rule("year", "year", base=12),
    _rule("byte", "dataset_bytes", "dataset, corpus, data, totaling, totalling, totals, collection, compressed, uncompressed, "
          "text, videos, crawls, images, clips, writing, books, pages, web, corpora, raw, documents, learned from", 1, 12),
    _rule("byte", "dataset_bytes", "trained on, pretrained on, pre trained on, trains on", 0, 1.5, before=True),
    _rule("byte", "memory_used", "mem, peak mem, footprint, memory usage, memory consumption, peak memory, memory use, needs, occupies, "
          "fits in", -0.5, 8),
    _rule("byte", "memory_per_gpu", "memory, vram, hbm, hbm2e, hbm3, equipped, each with, each, gpu, gpus", 0.5, 6),
    _rule("byte", "count", "checkpoint, checkpoints", -2, 8),
    _rule("byte", "count", "disk, storage, ram, host memory, system memory, cpu memory, buffer", 0, 5),
    _rule("bit/s", "network_bandwidth", base=2),
    _rule("byte/s", "bandwidth", base=2),
    # work
    _rule("flop", "model_flops", base=4),
    _rule("flop_days", "model_flops", base=1),
    _rule("flop/s", "flops_per_second_per_gpu", "per gpu, per device, per accelerator, each gpu, per chip, per card, "
          "achieved per, every gpu", 0, 8),
    _rule("flop/s", "flops_per_second", "aggregate, cluster, in total, total, system, overall, across, sustained", 2.5, 8),
    _rule("flop/s", "peak_flops", "peak, theoretical, capable", 1, 8),
    _rule("of_which", "peak_flops", base=-1),
    _rule("small_rate", "flops_per_second_per_gpu", base=6),
    _rule("large_rate", "flops_per_second", base=6),
    # energy, carbon, money
    _rule("energy", "energy", base=1),
    _rule("power", "tdp", "tdp, thermal design power, rated, thermal, may draw, can draw, power limit, power cap, capped at", 0, 8),
    _rule("power", "gpu_power", "per gpu, gpu, gpus, each, per device, per accelerator", 1, 8),
    _rule("power", "gpu_power", base=9),
    _rule("large_power", "power", base=2),
    _rule("bare percent", "pue", "pue, power usage effectiveness, power usage effect, usage effectiveness, overhead factor", -1, 8),
    _rule("co2", "carbon", base=1),
    _rule("money", "cost", base=4),
    _rule("money", "count", "saves, saved, saving, save, cheaper", -2, 6, before=True),
    _rule("money", "count", "each, apiece", 0, 0.9),
    _rule("money", "count", "storage, egress, bucket, networking, disks, salaries, annotation, labelling, labeling", -0.5, 6),
    _rule("money", "price", "hourly rate, hourly price, rate per hour, price per hour, price per gpu hour", -0.5, 2, before=True),
    _rule("unit_price", "price", base=0),
    _rule("money", "count", "each, apiece, salary, salaries, prize, prizes, grant, fee, fees, subscription, revenue, "
          "costs each, funding, raised", 0.2, 3,
          before=True),
    _rule("money", "count", "series a, series b, series c, series d, seed round, funding round, round of funding, seed funding, "
          "venture capital, from investors, valuation", -0.5, 4),
    # optimiser and the rest
    _rule("bare", "learning_rate", "learning rate, learning rates, lr, peak learning rate, base learning rate, "
          "warmed up to, warmup to, stepsize, learning rate of, step size, the rate, rate rises to, rate of, rate is, peak rate, "
          "peak learning rates, increased linearly to, linearly to, increases linearly to, rises linearly to", 0.3),
    _rule("tiny", "learning_rate", "peak of, peak, peak at, peaks at, constant, constant at, a constant", 0.2, 0.9, before=True),
    _rule("tiny", "learning_rate", "peak, constant", 0.4, 0.5),
    _rule("small", "learning_rate", "adamw at, adam at, adamw with, lion at, muon at, sgd at, adafactor at", 0, 0.9, before=True),
    _rule("bare", "learning_rate", "cosine schedule, schedule from, annealed from, decayed from, linear schedule", 1, 4, before=True),
    _rule("bare", "final_learning_rate", "minimum learning rate, final learning rate, min lr, minimum of, decay to, decays to, "
          "decayed to, decaying to, annealed to, decreased to, down to, end learning rate, floor, minimum learning rate of, "
          "final learning rate of, end learning rate of, minimum value of, "
          "cosine to, cosine decay to, linear to", 0, 6, before=True),
    _rule("bare percent", "weight_decay", "weight decay, weight decay of, wd, weight decay coefficient", 0, 5),
    _rule("small", "weight_decay", "decay", 0.2, 0.9, before=True),
    _rule("tenths", "weight_decay", "decay of", 0.2, 0.9, before=True),
    _rule("bare", "beta1", "beta_1, beta1, \\beta_1, β1, β_1, betas", 0, 3),
    _rule("bare", "beta2", "beta_2, beta2, \\beta_2, β2, β_2", -0.2, 3),
    _rule("bare", "epsilon", "epsilon, eps, \\epsilon, ε, ϵ", 0, 3),
    _rule("bare", "momentum", "momentum", 0, 4),
    _rule("bare", "gradient_clipping", "clip, clipping, clipped, gradient norm, norm, max norm, gradient clipping", 0, 7),
    _rule("bare", "dropout", "dropout, drop path, stochastic depth, drop rate", 0, 5),
    _rule("bare", "temperature", "temperature", 0, 5),
    _rule("bare", "label_smoothing", "label smoothing, smoothing", 0, 4),
    _rule("bare sample", "vocabulary", "vocabulary, vocab, vocabulary size, codebook size, tokenizer, tokeniser, "
          "bpe, sentencepiece, wordpiece, unigram model", 0, 10),
    _rule("ratio", "change", base=2),
    _rule("bare", "seq_len", "sequence, seq", 0.2, 1, before=True),
    _rule("bare word", "seq_len", "seq, seqlen, cropped to, truncated to, padded to, of length, lengths of, length, "
          "context to, context of, contexts of, sequence length, context length, "
          "context window, sequence lengths, context size, maximum length, max length, sequences of, windows of, seq len, ctx, "
          "block size, "
          "context", 0, 10),
    _rule("bare", "hidden", "hidden size, hidden dimension, model dimension, embedding dimension, width, hidden, dimension, "
          "dimensions, dmodel, d _ model, d model, dimensionality, embedding size, model dim, hidden dim, embed dim, emb dim, "
          "model width, embedding width, hidden width, d_model, residual width", 0, 4),
    _rule("bare", "hidden", "wide", 0, 0.9),
    _rule("bare", "lora_rank", "rank, lora rank", 0, 3),
    _rule("dimension dimensional", "hidden", base=4),
    _rule("layer", "layers", base=4),
    _rule("bare", "layers", "depth", 0, 1.5, before=True),
    _rule("layer", "decoder_layers", "decoder", 0, 7, subject=True),
    _rule("layer", "encoder_layers", "encoder", 0.1, 3, subject=True),
    _rule("head", "heads", base=4),
    _rule("expert", "experts", base=4),
    _rule("bare", "change", "faster, slower, speedup, improvement, times, fold", 0, 5),
    _rule("time_word", "change", base=6),
    _rule("epoch time_word", "count", "source, sources, subset, one language",
          -14, 10, before=True),
    _rule("time_word", "epochs", "seen, is seen, are seen, repeated, repeats, shown, visited, read, passed over, passes over, traversed, "
          "iterated over, cycled through, goes through, go through, went through, gone through, goes over, went over, passes through, "
          "passed through, looped over", 0, 3.5, before=True),
    _rule("bare", "score", "bleu, cider, fid, perplexity, loss, accuracy, score, wer, f1, map, auc, psnr, rouge", 0, 4),
    _rule("bare percent", "setting", "guidance scale, guidance, scale of, exponential moving average, ema, stride, temporal stride, "
          "threshold, coefficient, loss weight, gamma, lambda, alpha, nucleus, top k, gating, capacity factor, ratio, factor, "
          "\\lambda, \\alpha, theta, base frequency, rope base, compression ratio, downsampling", 0.6, 5),
    _rule("language task dataset benchmark model word pod shot fold bit", "count", base=9),
    _rule("bare", "mask_ratio", "masking ratio, mask ratio, masking probability, mask probability, masking rate", 0, 5),
)  # fmt: skip
