"""Words that decide what a figure is: one rule per line, looked up by the figure's unit (see ``placing``).

This module has the rules for models, data and steps; of two rules with the same cost the first wins.
"""

from __future__ import annotations

from gpuhours.questions.checking.reading.vocabulary.machine_words import RULES_OF_MACHINES
from gpuhours.questions.checking.reading.vocabulary.rules import CHECKPOINT, Rule, rule

_WARM_ALONE = "warmup, warm up, warmed, warming, ramp, ramps, ramped, rate rises, rate grows, rate climbs, rate is raised, rate increased"
"""Words of a warm-up that stand beside a share; shares of other things rise too."""
_WARM = (
    "warmup, warm up, warmed, warming, ramp, ramps, ramped, climbs, climbing, rises to, rising to, grows linearly, rate grows, "
    "increases linearly, linear increase, rises linearly, rises, rose, climbed, rate grew, grew linearly, increased linearly, "
    "is raised, was raised, raised linearly, goes up, went up, rate increased, rate is increased"
)
WITHOUT_COPIES = (
    "once duplicates", "duplicates are gone", "duplicates are removed", "duplicates were removed", "without duplicates",
    "after deduplication", "once deduplicated", "after filtering", "once filtered", "after cleaning", "once cleaned",
)  # fmt: skip
"""Phrases beside the tokens of a corpus, which are the tokens seen if it is read once."""

RULES: tuple[Rule, ...] = (
    # parameters
    rule("parameter", "parameters", base=5),
    rule("parameter", "parameters", "total, totaling, totalling, comprises, overall, altogether, in total", 0, 6),
    rule("parameter scaled", "active_parameters", "active, activated, activates, activating, active per token, "
          "activated per token, activates per token, "
          "at work, act on, acts on, "
          "work on a token, works on a token, take part, takes part, taking part, participate, participates, used per token, "
          "used for each token, in a forward pass, per forward pass, in each forward pass, are engaged, engaged per token, "
          "compute on a token, fire per token, of them for a token, of them for each token, "
          "of them for every token, of them for one token, "
          "of them per token, of them on a token, of these for a token, of these for each token, of these per token, at a time", 0, 7),
    rule("parameter scaled", "active_parameters", "activated per token, used per token, engaged per token, active per token", -0.6, 2,
          before=True),
    rule("parameter scaled", "active_parameters", "switches on, switched on, switching on, turns on, turned on, "
          "computes with, compute with, computing with, works with, evaluates only, "
          "activates only, uses only, touches, routes to, token meets, token uses, token sees, token visits, token touches, "
          "token activates", -0.3, 4,
          before=True),
    rule("scaled", "trainable_parameters", "trainable, trainable parameters, trainable params", 0.3, 3, before=True),
    rule("parameter scaled", "count", "outside the embeddings, outside embeddings, without embeddings, without the embeddings, "
          "excluding embeddings, excluding the embeddings, excluding embedding, nonembedding, non embedding, embeddings excluded, "
          "embeddings not counted, not counting embeddings", -1.5, 4),
    rule("parameter", "trainable_parameters", "trainable, tunable, adapter, adapters, lora, updated, learnable", 0.5, 6),
    rule("parameter bare", "vision_parameters",
          "visual backbone, vision backbone, image backbone, vision encoder, video encoder, image encoder, "
          "visual encoder, vision tower, vision transformer", 0.2, 5,
          subject=True),
    rule("scaled parameter", "vision_parameters", "of which sit in the vision, of which are in the vision, of which form the vision, "
          "of which is the vision, of which are the vision, of which make up the vision, of which belong to the vision, "
          "of which sit in the image, of which are in the image, of which is the image, of which belong to the image, "
          "of it in the vision, of them in the vision, of these in the vision", -1, 2),
    rule("scaled parameter bare", "vision_parameters", "picture side, image side, vision side, visual side, picture tower, image tower, "
          "vision tower, visual tower", -0.6, 2, before=True),
    rule("scaled parameter bare", "language_parameters", "text side, language side, text tower, language tower, text encoder", -0.6, 2,
          before=True),
    rule("parameter bare", "language_parameters",
          "language decoder, text decoder, language backbone, llm backbone, language component, language model component",
          0.2, 5, subject=True),
    rule("scaled model", "parameters", "model, parameters, transformer, network, variant, size, params, weights, checkpoint, "
          "dit, unet, llm, vlm, vla, mllm, lmm, moe, policy", 3, 5),
    rule("scaled", "parameters", "tower of, encoder of, network of, model of, transformer of, decoder of, policy of, backbone of",
          0, 0.9, before=True),
    rule("scaled", "parameters", "base, total", 3, 0.9),
    rule("scaled", "parameters", "encoder, decoder-only, dense, backbone", 3, 0.9),
    rule("scaled", "parameters", "latent decoder, video decoder, image decoder, upsampler, upscaler, super-resolution, autoencoder, vae, "
          "vqgan, prior, diffusion, generator, vocoder, refiner, reward model, critic, tokenizer, retriever, reranker, embedder, "
          "classifier, denoiser, student, sibling", 3, 1.2),
    rule("scaled parameter model", "count", "teacher, judge, teacher model, grader", -1, 1.2),
    rule("scaled", "language_parameters", "decoder", 3, 0.9),
    rule("parameter", "vision_parameters", "encoder, vit, tower", 0.6, 2.5, before=True),
    # tokens
    rule("token", "tokens", base=6),
    rule("token", "tokens", "total, trained on, training on, corpus, consumed, processed, pretraining, trained for, seen", 1, 8),
    rule("token", "tokens", "gone through, went through, passed through, are through, were read, ingested, digested, reads, "
          "read, had seen, processes, consumes, "
          "sees, saw, learned from, tokens in, tokens seen, over", 0.8, 4),
    rule("token", "seq_len",
          "sequence length, context length, context window, context size, sequence lengths, length, sequences of, "
          "pieces of, window, maximum length, max length, contexts of, truncated, context, sequences are, tokens long, long, "
          "sequences contain, sequences with, each sequence, sequences, cropped to, truncated to, padded to, cut to, "
          "extension to, extended to, sample has, samples have, sequence has, sequences have, example has, examples have", 0),
    rule("token", "global_batch_tokens", "batch size, effective batch size, tokens per batch, batch tokens, bsz, gbs, "
          "batchsize", -2, 8),
    rule("token", "seq_len", "each", -0.6, 0.9),
    rule("short_token", "seq_len", base=-1),
    rule("token", "global_batch_tokens", "batch, batch size, batches", 0),
    rule("millions", "global_batch_tokens", "batch, batch size, global batch, batches, tokens per batch", 0.1, 3, before=True),
    rule("token", "partial", "the first, the last, the final, the initial, its first, its last, its final", -1, 0.9, before=True),
    rule("token", "seq_len", "max, maximum", -2.5, 0.9, before=True),
    rule("token", "vocabulary", "vocabulary, vocab, tokenizer, bpe, sentencepiece, codebook", 0, 8),
    rule("token", "warmup_tokens", _WARM, 0),
    rule("token", "visual_tokens", "visual tokens, video tokens, vision tokens, image tokens", 0, 3),
    rule("token", "text_tokens", "text tokens, text data, textual, purified text, text only, text corpus", 0.5, 5),
    rule("token", "dataset_tokens", "unique, dataset of, deduplicated, dataset, combined dataset, dataset size, data set, "
          "training set, set contains, corpus contains, data contains, dataset contains, "
          "distinct, pool of, one epoch of, an epoch of, one epoch, one pass, a single pass", 0.5, 5),
    rule("token", "tokens", ", ".join(WITHOUT_COPIES), -0.3, 3),
    rule("token", "tokens", "in total, altogether, overall", -0.5, 0.9),
    rule("token", "tokens", "of training, of pretraining, of pre training", -0.5, 0.9),
    rule("token", "dataset_tokens", "from a corpus of, from a pool of, from a collection of, out of a corpus of, out of a pool of, "
          "archive holds, archive has, archive contains, collection holds, collection has, crawl holds, "
          "dump holds, crawl has, crawl contains", -0.9, 0.9, before=True),
    rule("token", "dataset_tokens", "we hold, we own, we possess, we collected, we gathered, we keep, we assembled", -0.2, 2,
          before=True),
    rule("token", "dataset_tokens", "mix, mixture, pool, pass over, passes over, epoch over, epochs over, repetitions of", -0.6, 1),
    rule("token", "tokens_per_frame", "each frame, per frame, every frame", 0, 8),
    rule("token bare", "seq_len", "trained at, training at, trained with a length of, trained on lengths of", -2.5, 0.9, before=True),
    rule("residue", "global_batch_tokens", "batch, batch size, batches hold, batch holds, batches of, batch of, per batch", -0.5, 3),
    rule("residue", "dataset_tokens", base=6),
    rule("residue token", "seq_len", "longer than, crops of, cropped, cropped to, truncated to, cut to, "
          "cut at, cut off at, cut after, cropped at, truncated at, truncated after, clipped at, clipped to, capped at, limited to, "
          "input length, inputs of, padded to", -0.4, 2.5),
    rule("residue token", "seq_len", "crop size, window size", -0.4, 6),
    rule("residue", "tokens", "trained on, training on, trained for, consumed, processed, in total, seen", 0, 3),
    rule("scaled", "tokens", "trained on, training on, trained over, trained for, corpus of", 2, 4, before=True),
    rule("scaled", "tokens", "has seen, have seen, it saw, it read", 1, 0.9, before=True),
    rule("scaled", "tokens", "tokens, number of tokens, token count", 0.5, 5, before=True),
    rule("token", "base_tokens",
          "from a base model, a base model that, initialized from, initialised from, base model had, had seen, base model was, "
          "originally, "
          "base model saw, base checkpoint", -3, 8),
    rule("named", "parameters", base=2),
    rule("token", "global_batch_tokens", "steps of, iterations of, updates of, batches of", -0.8, 0.5, before=True),
    rule("token", "dataset_tokens", "curated, collected, gathered, assembled, prepared, filtered, crawled", 0, 0.9, before=True),
    rule("token", "global_batch_tokens", "update sees, step sees, iteration sees, update reads, step reads, iteration reads, "
          "update consumes, step consumes, iteration consumes, update processes, step processes, iteration processes, update takes, "
          "step takes", -0.9, 1, before=True),
    rule("millions", "steps", "stopped after, ended after, ends after, finished after, stops after, was stopped after", 1, 0.9,
          before=True),
    rule("token", "global_batch_tokens", "each iteration, per iteration, each step, every step, every iteration", 0.3, 3),
    # samples
    rule("millions", "dataset_samples", "trained on, pretrained on, objective on, train on, training on, "
          "learned from", 4, 5, before=True),
    rule("millions", "dataset_samples", "data, samples, pairs, images, clips", 2, 1, before=True),
    rule("millions", "dataset_samples", "a set of, set of, from a set of, collection of", 0.5, 0.9, before=True),
    rule("millions", "dataset_samples", "training set, dataset, data set, corpus, collection, database", 3, 5, before=True),
    rule("bare sample sequence", "microbatch", "per gpu, per device, per accelerator, on each gpu, per card", -0.6, 2.5),
    rule("bare sample sequence", "microbatch", "per gpu the batch was, per gpu the batch is, batch per gpu, "
          "per gpu batch was", -0.8, 2, before=True),
    rule("sample sequence", "dataset_samples", base=7),
    rule("sample sequence", "dataset_samples", "dataset, corpus, collection, consists, comprising, million, curated", 4, 12),
    rule("sample sequence bare", "global_batch", "batch, batch size, batchsize, bs, bsz, gbs, minibatch, batches, per iteration, "
          "per update, per step, a step, an update, "
          "each update", 0),
    rule("sample sequence bare", "microbatch",
          "micro batch, microbatch, micro bs, "
          "mbs, device batch size, per gpu batch size, per device batch size, micro batch size, per gpu batch, local batch, "
          "every card, each card, every gpu, each device, every device, "
          "per device batch, device batch", -0.5),
    rule("sample sequence", "evaluation_size", "evaluation, evaluate, evaluated, test, validation, heldout, held out, "
          "benchmark, annotators", 1, 8),
    rule("sample sequence", "samples", "in total, seen in total", 1.5, 4),
    rule("sample sequence", "samples", "processes, processed", 1.5, 0.5, before=True),
    rule("sample sequence", "samples", "with repetition, with repetitions, with repeats, counting repetitions, repetitions counted, "
          "repetitions included", 0, 5),
    rule("sample sequence", "samples", "samples seen, seen, in total processed", 0, 4),
    rule("sample sequence bare", "global_batch", "each iteration, every iteration, each step, every step, each gradient step, "
          "each training step, every training step, iteration samples, step samples, iteration draws, step draws, step uses, "
          "iteration uses, step sees, a step sees, step consumes, step processes, iteration processes, batch holds, batch contains, "
          "update sees, update reads, update uses, update processes, update consumes, update averages, step reads, iteration sees, "
          "batch has, batch consists", -0.4, 2.5, before=True),
    rule("small_sequence", "global_batch", base=8),
    rule("sample sequence bare", "global_batch", "accumulation to, accumulated to, accumulating to, accumulate to, accumulation up to, "
          "effective batch of", -1, 1, before=True),
    rule("sample sequence", "global_batch", "iterations of, steps of, updates of, steps at, batches of, minibatches of, batches with, "
          "minibatches with", -0.3, 1, before=True),
    rule("cut", "dataset_samples", base=10),
    rule("plural", "dataset_samples", "epochs, epoch, passes, pass", -0.3, 0.5, before=True),
    rule("plural", "dataset_samples", "epochs over, epoch over, passes over, pass over, epochs on, over", -0.5, 1, before=True),
    rule("plural", "dataset_samples", "trained on, data, training data, dataset, data set, corpus, collection, collected, gathered, "
          "curated, scraped", 3.5, 5, before=True),
    rule("millions bare", "dataset_samples", "the set has, the set holds, the set contains, set counts, dataset has, dataset holds, "
          "dataset contains, data set has, data set holds, data set contains, corpus has, corpus holds, collection has, "
          "collection holds, pool has, pool holds, pool of, set itself has", -0.5, 1, before=True),
    # frames and pictures
    rule("frame", "frames_per_clip", base=5),
    rule("rate", "frame_rate", base=1),
    rule("hertz", "sample_rate", base=1),
    rule("picture", "resolution", base=2),
    rule("dims pixel", "resolution", "pixels, resolution, resized, images, frames, crops, inputs, video, videos", 1, 9),
    rule("dims pixel", "patch_size", "patch, patches, patchify, tubelet, tubelets", -0.3, 4),
    rule("bare", "patch_size", "patch size, patches of", 0, 5),
    rule("bare", "resolution", "picture size, resolution, resolution of, resolutions, res, input size, image size, img size, "
          "crop size", 0, 5),
    rule("patch", "tokens_per_frame", "per frame, each frame", 1, 6),
    rule("patch query", "queries", "queries, learnable, latent, resampler, query", 1),
    # steps and epochs
    rule("step", "steps", base=5),
    rule("time_word", "steps", "updated, weights updated, optimizer stepped, stepped", 0, 2, before=True),
    rule("time_word", "epochs", "data, dataset, data set, corpus, set, it, them, passed, images, documents", 1, 0.9, before=True),
    rule("bare", "steps", "stopped at step, stops at step, ended at step, ends at step, finished at step, until step, up to step, "
          "stopped at iteration, ended at iteration", -0.5, 0.9, before=True),
    rule("step", "steps", "stop after, stopped after, ends after, ended after, finished after, terminated after, converged after, "
          "until step, halted after", 0, 1, before=True),
    rule("step", "warmup_steps", _WARM, 0),
    rule("step", "measured_iterations", "averaged over, averaged, benchmarking, timed, minimize variance, "
          "short measurements, measurements, measured over, short benchmark", 0, 8),
    rule("step", "accumulation", "accumulation, accumulate, accumulated, accumulating", -0.5),
    rule("bare", "checkpoint_steps", "save interval, save steps, save every, checkpoint interval, checkpoint period, checkpoint every, "
          "ckpt interval", 0, 2, before=True),
    rule("step", "checkpoint_steps", "save every, saved every, checkpoint every, checkpoints every, "
          "checkpointed every, checkpointing every, "
          "snapshots every, checkpoint interval, checkpointing interval, save interval, checkpoint frequency, between checkpoints", -1.5),
    rule("step", "checkpoint_steps", "at intervals of, intervals of, interval of", -1.5, 0.9, before=True),
    rule("every_step", "checkpoint_steps", CHECKPOINT, -2, subject=True),
    rule("step", "interval_steps", "evaluated every, evaluate every, logged every, every", 4, 2),
    rule("step", "sampling_steps", "diffusion, denoising, sampling, sampler, inference, ddim", 0, 5),
    rule("epoch", "epochs", base=3),
    rule("epoch", "warmup_epochs", _WARM, 0),
    rule("epoch", "count", "over this part, over that part, over the rest, over this portion, over this subset, over the former, "
          "over the latter, of the former, of the latter, over its", 0, 4),
    rule("epoch", "final_epochs", "the last, in the last, final, cooldown, cool down", 0, 2),
    rule("bare", "count", "seed, random seed", -1, 0.9, before=True),
    rule("bare", "epochs", "epochs, number of epochs", 0.5, 3),
    rule("bare", "steps", "steps, number of steps, iterations", 1.5, 2),
    rule("bare", "steps", "number of updates is, number of updates was, number of steps is, number of steps was, "
          "number of iterations is, "
          "number of iterations was, updates is, number of updates, number of iterations", 0, 2, before=True),
    rule("bare", "partial", "at iteration, at step, from step, from iteration, resume from, at update, "
          "until iteration, after step, before step, after iteration, before iteration", 0, 1, before=True),
    rule("bare", "warmup_steps", "warmup, warm up", 0.5, 1.5, before=True),
    rule("bare", "warmup_steps", "warmup, warm up", -0.5, 0.5),
    rule("bare", "warmup_steps", "warmup steps, warmup iterations, warm up steps", 0, 3),
    rule("step bare", "accumulation", "micro steps, microsteps", -0.6, 2),
    rule("sample bare", "accumulation", "accumulate gradients over, accumulated over, accumulating over, accumulate over, "
          "accumulate gradients, accumulating gradients, accumulated gradients, gradients are accumulated, "
          "accumulate gradients of, accumulated gradients over, gradients over, accumulate gradients for, gradients for", -1.6, 1.5,
          before=True),
    rule("bare", "accumulation", "set accumulation to, accumulation set to, set gradient accumulation to, gradient accumulation set to, "
          "gradaccum", -2, 1.5),
    rule("bare", "accumulation", "accumulation, gradient accumulation, grad accum, accum, grad acc, gradient acc, acc steps, "
          "accum steps, update freq, accumulation factor, accumulation of, accumulating, "
          "accumulated, accumulate, "
          "accumulation steps, micro batches", -0.6, 5),
    rule("step", "count", "rolled back, rewound, went back, skipped, redid", 0, 1, before=True),
    rule("step", "count", "later, earlier", -4, 0.9),
    rule("step token sample", "partial", "first, last, after, remaining, initial, final", 4, 1),
    # shares
    rule("percent", "mfu", "mfu, model flops utilization, model flops utilisation, model flop utilization, "
          "model flop utilisation, flops utilization, flops utilisation, flop utilization", 0, 10),
    rule("percent", "mfu", "utilization, utilisation, of peak, of the peak, theoretical peak, peak performance, "
          "hardware efficiency, compute efficiency, of what the card can do, of what the hardware can, "
          "of what the gpu can, model flops, "
          "of peak flops, of its peak, of their peak, of theoretical, of their theoretical, of its theoretical, "
          "of the theoretical, theoretical throughput, bf16 peak, fp16 peak, dense peak, dense bf16 peak, peak bf16, peak throughput, "
          "peak bf16 rate, bf16 rate, fp16 rate, peak rate, card's peak, chip's peak, gpu's peak, device's peak, "
          "relative to peak, relative to the peak, model throughput, "
          "share of peak, fraction of peak, of the dense, of what the cards could, of what the chips, "
          "of what the hardware could, peak compute", 2, 8),
    rule("percent", "mfu", "peak", 3, 3),
    rule("percent", "count", "asked for, demanded, required, requires, target, target of, goal of, aimed at, aim of, aimed for, "
          "hoped for, expected, planned for", -4, 1.5, before=True),
    rule("bare", "mfu", "mfu, mfu of, model flops utilization, model flops utilisation", 0, 4),
    rule("bare", "hfu", "hfu, hfu of", 0, 4),
    rule("percent", "hfu", "hfu, hardware flops utilization, hardware flops utilisation, hardware flop utilization", -0.5, 10),
    rule("percent", "goodput", "goodput, uptime, availability, effective training time, productive, effective training, "
          "useful training, of the time, "
          "of wall clock", 0, 8),
    rule("small", "goodput", "goodput", 0, 4, before=True),
    rule("percent", "mask_ratio", "mask, masked, masking, mask ratio, masking ratio", 0, 10),
    rule("percent", "mask_ratio", "hidden, patches are, patches were, removed patches, dropped patches, tubes are", 1, 6),
    rule("percent", "setting", "become a mask, become mask, becomes a mask, are replaced, is replaced, were replaced, "
          "left unchanged, kept unchanged", -3, 5),
    rule("percent", "warmup_share", _WARM_ALONE + ", of iterations, of steps, of training, of training steps, of the iterations, "
          "of total steps, of updates, of the updates, of the training, of the steps, of total iterations", 0.5),
    rule("small", "warmup_share", "warmup ratio, warmup fraction, warm up ratio, warm up fraction", -0.2, 3, before=True),
    rule("percent", "warmup_share", "of warmup, of warm up, warmup of, warm up of, of linear warmup, warmup ratio, "
          "warmup fraction", -0.6, 3),
    rule("percent", "learning_rate_decay", "decay, decays, decayed, decaying, annealed, peak learning rate, "
          "learning rate, maximum learning rate, initial learning rate", 0.3, 12),
    rule("percent", "trainable_share", "trainable, parameters are, of the parameters, of parameters, tunable, "
          "of the weights, of all parameters", 0, 6),
    rule("percent", "dropout", "dropout, drop path, stochastic depth", -0.2, 6),
    rule("percent", "score", "accuracy, top1, top5, top 1, score, scores, f1, map, recall, precision, wer, bleu, pass, mmlu, "
          "videomme, video mme, benchmark, benchmarks, subtitle, win rate, improvement, outperform, performance, "
          "exact match, error rate, correlation, error", 0.4, 9),
    rule("percent", "mixture_share", "mixture, of the data, of data, of the corpus, of tokens, data mix, english, code, web, "
          "books, wikipedia, remaining, sampled from, of the dataset, of samples, proportion, of the training, text, upsampled, "
          "filtered, discarded, removed, deduplication, held out, validation, subset, split, commoncrawl, sources", 0.8, 8),
    rule("percent", "change", "faster, slower, drop by, drops by, dropped, reduction, reduced, reduces, reducing, "
          "increase, increases, "
          "saving, savings, less, more, speedup, higher, lower, compared, improves, overhead, throughput by, relative", 0.8, 8),
    rule("percent", "downtime", "downtime, lost to, failures, restarts cost, cost us, was lost, were lost", 0, 6),
    *RULES_OF_MACHINES,
)  # fmt: skip
