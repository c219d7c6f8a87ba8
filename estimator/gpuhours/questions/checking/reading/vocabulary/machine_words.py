"""The rules for figures of time, machines, work, energy, money and the optimiser, one per line."""

from __future__ import annotations

from gpuhours.questions.checking.reading.vocabulary.rules import CHECKPOINT, Rule, rule

_RUN = (
    "training, trained, train, pretraining, pretrained, pretrain, took, spanned, lasted, lasts, lasting, spanning, ran, run, "
    "completed, complete, duration, make, makes, made, done in, was done, occupied, gone after, wallclock, wall clock, "
    "required, requiring, finished, entire, phase, continuous, job, long, busy, "
    "busy for, kept, learned, learnt, needed, elapsed, walltime, wall time, runtime, run time, went by, clears, finishes, "
    "done in, over in, time to train, time to target, time to solution, time to accuracy, time to convergence"
)
_WITH_OR_WITHOUT_STOPS = ", ".join(
    f"{stops} {counted}"
    for stops in ("stops", "restarts", "interruptions", "outages", "downtime", "pauses", "failures")
    for counted in ("included", "excluded", "not counted", "not included", "left out")
)
"""What a time by the clock includes or leaves out."""
_TO_THE_LAST_CHECKPOINT = (
    ", ".join(
        f"{first} to {last} checkpoint"
        for first in ("launch", "start", "beginning", "first step", "first update")
        for last in ("last", "the last", "final", "the final")
    )
    + ", "
    + ", ".join(
        f"{first} to {last}"
        for first in ("start", "beginning", "first step", "first update", "launch", "first to last", "kick off")
        for last in (
            "end",
            "finish",
            "the end",
            "the finish",
            "last step",
            "the last step",
            "the last update",
            "completion",
        )
    )
)
"""``launch to last checkpoint``, ``from start to end``: both ends of a run."""

RULES_OF_MACHINES: tuple[Rule, ...] = (
    # time
    rule("time", "wall_clock", _RUN, 1),
    rule("hours", "wall_clock", "tokens in, steps in, epochs in, updates in, iterations in, done, expect, eta, "
          "total time", 3, 1, before=True),
    rule("hours", "wall_clock", "for, in, within, took, after, over, during", 8, 0.9, before=True),
    rule("time", "gpu_hours", "hours used", -2, 3, before=True),
    rule("time", "gpu_hours", "cumulative, a cumulative", -2, 0.9, before=True),
    rule("instant", "step_time", "steps take, step takes, iterations take, iteration takes, updates take, update takes, "
          "steps took, "
          "step took, step lasts, steps last, step lasted, iteration lasts, update lasts, "
          "step needs, step needed, iteration needs", -0.5, 3,
          before=True),
    rule("instant", "step_time", "average step, mean step, median step, typical step", -0.3, 2, before=True),
    rule("instant", "step_time", "one every, one update every, one step every", -0.5, 1, before=True),
    rule("many_hours", "video_hours", "clips, data, dataset, data set, corpus, collection, recordings, videos, footage", 0, 9),
    rule("hours", "wall_clock", "on", 8, 1),
    rule("hours", "wall_clock", "whole thing, thing takes, training takes, run takes", 0, 2, before=True),
    rule("next_to_a_run", "wall_clock", base=14),
    rule("time", "count", "time limit, timelimit, limit", -6, 2, before=True),
    rule("gpu", "count", "is split, are split, is divided, are divided", -1, 1.5, before=True),
    rule("bare", "pipeline", "pipeline of, pipelines of", -0.5, 0.9, before=True),
    rule("token capped", "count", "at a time, on a card, on each card, on a gpu, on each gpu, on one gpu, "
          "on every gpu, on a device", -1.5, 1),
    rule("step", "count", "epoch has, epoch is, epoch takes, epoch contains, epoch consists of, epoch of, epoch needs", -1, 1.5,
          before=True),
    rule("gpu", "count", "slice, slices, pod slice, pod slices", -4, 0.9),
    rule("gpu", "count", "per process, per rank, per worker, per task", -0.5, 1.5),
    rule("time", "count", "engineers, engineer, people, researchers, researcher, staff, persons, interns, students, developers, "
          "engineers for, people for, salaries", -4, 2.5, before=True),
    rule("time", "count", "reserved for, rented for, booked for, leased for, spread, reserved, booked", -1, 1, before=True),
    rule("hours", "wall_clock", "in total, total, altogether, all in all", 3, 1.5),
    rule("time", "wall_clock", "record, current record, new record, our record, record is, record of, record time", 0, 2, before=True),
    rule("time", "step_time", "steps at, iterations at, updates at, steps of, iterations of", -0.5, 2, before=True),
    rule("time", "count", "window of, in a window, snapshot, logged, interruptions, observation", -0.2, 6),
    rule("calendar", "wall_clock", base=13),
    rule("dates", "wall_clock", _RUN + ", dates, period, took place, held, start, begin", 0, 9),
    rule("dates", "count", "collected, recorded, crawled, scraped, gathered, filmed, written, published, posts, news, "
          "data from, annotated", -0.5, 9),
    rule("instant", "step_time", "per step, per iteration, each step, each iteration, step time, iteration time, "
          "seconds per step, every step, every iteration, a step, one step, iteration takes, an iteration, dt, training step, "
          "optimizer step, optimiser step, a batch, per batch, each batch, every batch, an update, per update, each update, "
          "per minibatch, a minibatch", 0, 8),
    rule("time", "epoch_time", "per epoch, each epoch, every epoch, epoch takes, epoch took, epoch lasts, epoch lasted, an epoch, "
          "one epoch, epoch needs, epoch needed", 0, 6),
    rule("time", "epoch_time", "# epoch over, # epoch on, # epoch of, # pass over", -0.5, 3.5, before=True),
    rule("time", "checkpoint_time", CHECKPOINT, 0),
    rule("time", "count", "for the last, in the last, during the last, over the last, within the last, for the first, in the first, "
          "the past, the last few", -4, 0.9, before=True),
    rule("hours", "wall_clock", "between the first and the last step, between the first and the last update, between the first and last "
          "step, between the first and last update, between first and last step, between first and last update", -3, 4),
    rule("hours", "wall_clock", "we stopped, we stop, was stopped, training stopped, run stopped", -1.2, 6, before=True),
    rule("time", "count", "between the first and last, between the first and the last", -2, 3),
    rule("time", "count", "over the next, in the next, within the next, for the next, of the next, lead time, lead time of, "
          "lead times of, forecast horizon, forecast horizon of, horizon of", -4, 1.5, before=True),
    rule("time", "count", "ahead, lead time, of lead time, in advance", -4, 0.9),
    rule("time", "count", "grant, grant of, funding, funding of, contract, contract of", -4, 8, before=True),
    rule("time", "wall_clock", "of training, of real training, of actual training, of pure training, of net training, of computing, "
          "of compute time, of useful training, of real work", -1, 0.9),
    rule("time gpu_time gpu step epoch token money", "count", "less, fewer, longer, shorter, sooner, faster, slower", -3, 0.9),
    rule("time", "count", "cpu machines, cpu nodes, cpu servers, cpu cores", -4, 5),
    rule("time", "video_hours",
          "video, videos, television, broadcasts, footage, recordings, movies, film, recorded", 0.2, 6),
    rule("time", "audio_hours", "audio, speech, music, sound, audiobooks, recitation, podcasts, songs, voice, voices, spoken", 0.1, 6),
    rule("time", "clip_seconds", "average duration, average length, mean duration, seconds long", 0, 4),
    rule("time", "clip_seconds", "clip, clips, segments, second clips, chunks, windows, utterances, excerpts, long videos",
          0.3, 4),
    rule("time", "downtime", "down for, everything down, downtime, lost, stop, stops, stopped, restart, restarts, restarted, "
          "recovery, failures, outage, "
          "interruptions, mtbf, failure, fault, queue, queued, waited, waiting, wait, "
          "idle, stood still, between failures", -0.3, 6),
    rule("hours", "wall_clock", "elapsed time, calendar time, elapsed time with, calendar time with, calendar time including, "
          "elapsed time including, first to last day, first day to last, first day to the last", -2.5, 5, before=True),
    rule("hours", "wall_clock", _WITH_OR_WITHOUT_STOPS, -1.5, 4),
    rule("hours", "wall_clock", _TO_THE_LAST_CHECKPOINT, -1, 3),
    rule("time", "downtime", "longest stop, longest outage, longest interruption, longest pause, longest failure", -14, 14, before=True),
    rule("time", "count", "simulated time, simulated, of simulated, of simulation, simulation time", -4, 5),
    rule("time", "count", "label, labelling, annotating, annotation, of grasps, of driving, of flight, of play, "
          "of teleoperation, robots, deadline", 0.1, 5),
    rule("short_time", "clip_seconds", base=3),
    rule("gpu_time", "gpu_hours", base=1),
    rule("node_time", "node_hours", base=1),
    rule("bare", "gpu_hours", "number of gpu hours, total gpu hours, amount of gpu hours", 0, 6, before=True),
    # machine
    rule("gpu", "gpus", base=3),
    rule("gpu", "gpus_per_node", "each with, each equipped, per node, each containing, each having, each node, each featuring, "
          "each hosting, each comprising, each housing, nodes with, nodes of, servers with, each server, each machine, "
          "machines with, each consisting, per server, per machine, node has, node contains, equipped with, node, "
          "each holding, holding, "
          "in each, a node, per box, in every, "
          "holds, each carrying, with each, box of, node is, boxes of", 0, 4),
    rule("gpu", "gpus_per_node", "each, apiece", 0.3, 1),
    rule("node", "nodes", base=3),
    rule("node gpu", "count", "swapped out, swapped, replaced, failed, died, broke, broken, lost, faulty, cordoned, exchanged, "
          "failure, failures, outage, outages, crash, crashes, "
          "spare, falling off, fell off, fallen off", 0, 4),
    rule("node", "count", "fastest, largest, biggest, most powerful, in the world, in europe, in the country, top", -3, 2),
    rule("node", "count", "cpu, cpu servers, cpu nodes, cpu machines", -1.5, 1.5),
    rule("gpu", "count", "itself as, themselves as, appears as, appear as, shows up as, show up as, seen as, visible as, exposed as, "
          "presented as", 0, 0.9, before=True),
    rule("gpu", "count", "to generate, for self play, as actors, for actors, to act, for rollouts, to serve", 0, 1.5),
    rule("time step", "count", "restarted, failed, crashes, hangs, by hand", 0.5, 4),
    rule("bare way", "tensor", "tensor parallel, tensor model parallel, tensor parallelism, tensor model parallelism, tp, "
          "tensormodel parallelism, tensorparallel, tensor parallel degree, tensor parallel size, tensor parallelism rank", 0, 7),
    rule("bare way", "pipeline", "pipeline parallel, pipeline parallelism, pipeline model parallelism, pp, pipelineparallel, "
          "pipeline model parallel, "
          "pipeline stages, pipeline depth, pipeline parallelism rank", 0, 7),
    rule("way", "tensor", "tensor", 0.2, 1.5),
    rule("way", "pipeline", "pipeline", 0.2, 1.5),
    rule("way", "data_parallel", "data", 0.2, 1.5),
    rule("capped", "seq_len", base=-0.5),
    rule("stage", "pipeline", "pipeline", 0, 4),
    rule("bare way", "context", "context parallel, context parallelism, cp, sequence parallelism, sequence parallel", 0, 7),
    rule("bare way", "data_parallel", "data parallel, data parallelism, dp, dataparallel, fully sharded data parallel", 0, 5),
    rule("replica worker rank", "data_parallel", "data parallel, data parallelism, replicas, workers", 2),
    rule("bare", "tensor", "tensor", -0.2, 0.5, before=True),
    rule("bare", "pipeline", "pipeline", -0.2, 0.5, before=True),
    rule("bare", "context", "context parallel, cp", -0.2, 0.5, before=True),
    rule("bare", "data_parallel", "data shards", -0.3, 1.5, before=True),
    rule("shard", "data_parallel", "data, data shards", -0.3, 1.5, before=True),
    rule("shard bare", "tensor", "model shards", -0.3, 1.5, before=True),
    rule("bare", "data_parallel", "data", -0.2, 0.5, before=True),
    rule("bare", "patch_size", "patch", 0.2, 0.5, before=True),
    rule("bare", "resolution", "input", 0.2, 0.5, before=True),
    rule("bare", "zero_stage", "zero stage, zerostage, zero, zero optimization stage, deepspeed stage", 0, 2),
    rule("bare", "count", "slide, chapter, page, annex, paragraph, footnote", 0.2, 0.9, before=True),
    rule("bare", "count", "stage, phase, section, table, figure, version, level, equation, appendix", 0.2, 0.9, before=True),
    rule("year", "year", "in, released, published, since, until, by, release, launched, during", 1, 4),
    rule("year", "year", base=12),
    rule("byte", "dataset_bytes", "dataset, corpus, data, totaling, totalling, totals, collection, compressed, uncompressed, "
          "text, videos, crawls, images, clips, writing, books, pages, web, corpora, raw, documents, learned from", 1, 12),
    rule("byte", "dataset_bytes", "trained on, pretrained on, pre trained on, trains on", 0, 1.5, before=True),
    rule("byte", "memory_used", "mem, peak mem, footprint, memory usage, memory consumption, peak memory, memory use, needs, occupies, "
          "fits in", -0.5, 8),
    rule("byte", "memory_per_gpu", "memory, vram, hbm, hbm2e, hbm3, equipped, each with, each, gpu, gpus", 0.5, 6),
    rule("byte", "count", "checkpoint, checkpoints, snapshot, snapshots", -5, 12),
    rule("byte", "count", "memory per node, per node, memory per server, per server, memory per host, per host, memory per machine, "
          "per machine", -1, 2.5),
    rule("byte", "count", "disk, storage, ram, host memory, system memory, cpu memory, buffer", 0, 5),
    rule("bit/s", "network_bandwidth", base=2),
    rule("byte/s", "bandwidth", base=2),
    # work
    rule("flop", "model_flops", base=4),
    rule("flop_days", "model_flops", base=1),
    rule("flop/s", "flops_per_second_per_gpu", "per gpu, per device, per accelerator, each gpu, per chip, per card, "
          "achieved per, every gpu", 0, 8),
    rule("flop/s", "flops_per_second", "aggregate, cluster, in total, total, system, overall, across, sustained", 2.5, 8),
    rule("flop/s", "peak_flops", "peak, theoretical, capable", 1, 8),
    rule("flop/s", "peak_flops", "nominal, nominal rate of, rated at, is rated at, specified at, is specified at, data sheet, datasheet, "
          "specification, on paper", 0, 3),
    rule("flop/s", "count", "linpack, hpl, top500, rmax, rpeak", -6, 4),
    rule("of_which", "peak_flops", base=-1),
    rule("small_rate", "flops_per_second_per_gpu", base=6),
    rule("large_rate", "flops_per_second", base=6),
    # energy, carbon, money
    rule("energy", "energy", base=1),
    rule("power", "tdp", "tdp, thermal design power, rated, thermal, may draw, can draw, power limit, "
          "power limited to, limited to, power cap, capped at, "
          "at most, at the most, maximum draw, peak draw", 0, 8),
    rule("power", "gpu_power", "per gpu, gpu, gpus, each, per device, per accelerator", 1, 8),
    rule("power large_power", "count", "a node, each node, per node, every node, one node, a server, each server, per server, "
          "every server, one server, a host, each host, per host, a chassis, per chassis, a tray, a rack, per rack, each rack, # rack",
          -1, 8, subject=True),
    rule("power", "gpu_power", base=9),
    rule("large_power", "power", base=2),
    rule("power", "power", "wall meter, meter, meters, at the wall, at the plug, whole box, whole machine, whole rig, whole server, "
          "system draws, box draws, machine draws", -1, 5),
    rule("bare percent", "pue", "pue, power usage effectiveness, power usage effect, usage effectiveness, overhead factor", -1, 8),
    rule("co2", "carbon", base=1),
    rule("money", "cost", base=4),
    rule("money", "count", "saves, saved, saving, save, cheaper", -2, 6, before=True),
    rule("money", "count", "each, apiece", 0, 0.9),
    rule("money", "count", "valued at, last valued at, valuation of, worth", -3, 1.5, before=True),
    rule("money", "count", "list price was, list price is, list price were, catalogue price was, catalogue price is, list price, "
          "catalogue price, list rate was, list rate is", -2.5, 0.9, before=True),
    rule("money", "count", "electricity, power bill, energy bill, electricity bill, for the power, for power", -1, 8, subject=True),
    rule("money", "count", "storage, egress, bucket, networking, disks, salaries, annotation, labelling, labeling", -0.5, 6),
    rule("money", "price", "hourly rate, hourly price, rate per hour, price per hour, price per gpu hour", -0.5, 2, before=True),
    rule("unit_price", "price", base=0),
    rule("hourly_money", "price", "for each, for each of them, for every one, for each one, for one, an hour of it, "
          "apiece, each", -0.6, 1.2),
    rule("small_money", "price", "internal rate of, rate of, our rate, internal rate, market price of, list price of, price of, "
          "rental price of, rental price, spot price, spot price of, on demand price", -0.5, 2, before=True),
    rule("small_money", "price", "provider asks, provider charges, provider asked, provider charged, cloud asks, cloud charges, "
          "they ask, they charge, vendor asks, vendor charges, we pay, we paid, we are charged, we were charged", -0.5, 3),
    rule("money", "count", "each, apiece, salary, salaries, prize, prizes, grant, fee, fees, subscription, revenue, "
          "costs each, funding, raised", 0.2, 3,
          before=True),
    rule("money", "count", "series a, series b, series c, series d, seed round, funding round, round of funding, seed funding, "
          "venture capital, from investors, valuation", -0.5, 4),
    # optimiser and the rest
    rule("bare", "learning_rate", "learning rate, learning rates, lr, peak learning rate, base learning rate, "
          "warmed up to, warmup to, stepsize, learning rate of, step size, the rate, rate rises to, rate of, rate is, peak rate, "
          "peak learning rates, increased linearly to, linearly to, increases linearly to, rises linearly to", 0.3),
    rule("tiny", "learning_rate", "peak of, peak, peak at, peaks at, constant, constant at, a constant", 0.2, 0.9, before=True),
    rule("tiny", "learning_rate", "peak, constant", 0.4, 0.5),
    rule("tiny", "learning_rate", "fell to, falls to, dropped to, lowered to, reduced to, halved to, raised to", 1, 0.9, before=True),
    rule("small", "learning_rate", "adamw at, adam at, adamw with, lion at, muon at, sgd at, adafactor at", 0, 0.9, before=True),
    rule("bare", "learning_rate", "cosine schedule, schedule from, annealed from, decayed from, linear schedule", 1, 4, before=True),
    rule("bare", "final_learning_rate", "minimum learning rate, final learning rate, min lr, minimum of, decay to, decays to, "
          "decayed to, decaying to, annealed to, decreased to, down to, end learning rate, floor, minimum learning rate of, "
          "final learning rate of, end learning rate of, minimum value of, "
          "cosine to, cosine decay to, linear to", 0, 6, before=True),
    rule("bare percent", "weight_decay", "weight decay, weight decay of, wd, weight decay coefficient", 0, 5),
    rule("small", "weight_decay", "decay", 0.2, 0.9, before=True),
    rule("tenths", "weight_decay", "decay of", 0.2, 0.9, before=True),
    rule("bare", "beta1", "beta_1, beta1, \\beta_1, β1, β_1, betas", 0, 3),
    rule("bare", "beta2", "beta_2, beta2, \\beta_2, β2, β_2", -0.2, 3),
    rule("bare", "epsilon", "epsilon, eps, \\epsilon, ε, ϵ", 0, 3),
    rule("bare", "momentum", "momentum", 0, 4),
    rule("bare", "gradient_clipping", "clip, clipping, clipped, gradient norm, norm, max norm, gradient clipping", 0, 7),
    rule("bare", "dropout", "dropout rate, dropout rate of, dropout rate in, dropout rate for", -0.5, 7),
    rule("bare", "dropout", "dropout, drop path, stochastic depth, drop rate", 0, 5),
    rule("bare", "temperature", "temperature", 0, 5),
    rule("bare", "label_smoothing", "label smoothing, smoothing", 0, 4),
    rule("bare sample", "vocabulary", "vocabulary, vocab, vocabulary size, codebook size, tokenizer, tokeniser, "
          "bpe, sentencepiece, wordpiece, unigram model", 0, 10),
    rule("ratio", "change", base=2),
    rule("bare", "seq_len", "sequence, seq", 0.2, 1, before=True),
    rule("bare word", "seq_len", "seq, seqlen, cropped to, truncated to, padded to, of length, lengths of, length, "
          "context to, context of, contexts of, sequence length, context length, "
          "context window, sequence lengths, context size, maximum length, max length, sequences of, windows of, seq len, ctx, "
          "block size, "
          "context", 0, 10),
    rule("bare", "hidden", "hidden size, hidden dimension, model dimension, embedding dimension, width, hidden, dimension, "
          "dimensions, dmodel, d _ model, d model, dimensionality, embedding size, model dim, hidden dim, embed dim, emb dim, "
          "model width, embedding width, hidden width, d_model, residual width", 0, 4),
    rule("bare", "hidden", "wide", 0, 0.9),
    rule("bare", "lora_rank", "rank, lora rank", 0, 3),
    rule("dimension dimensional", "hidden", base=4),
    rule("layer", "layers", base=4),
    rule("bare", "layers", "depth", 0, 1.5, before=True),
    rule("layer", "decoder_layers", "decoder", 0, 7, subject=True),
    rule("layer", "encoder_layers", "encoder", 0.1, 3, subject=True),
    rule("head", "heads", base=4),
    rule("expert", "experts", base=4),
    rule("expert", "count", "shared, shared experts", -2, 1.5, before=True),
    rule("token bare", "count", "sliding window, sliding window of, window attention of, attention window, attention window of", -2.5, 1.5,
          before=True),
    rule("bare", "change", "faster, slower, speedup, improvement, times, fold", 0, 5),
    rule("time_word", "change", base=6),
    rule("epoch time_word", "count", "source, sources, subset, one language",
          -14, 10, before=True),
    rule("time_word", "epochs", "seen, is seen, are seen, repeated, repeats, shown, visited, read, passed over, passes over, traversed, "
          "iterated over, cycled through, goes through, go through, went through, gone through, goes over, went over, passes through, "
          "passed through, looped over", 0, 3.5, before=True),
    rule("bare", "score", "bleu, cider, fid, perplexity, loss, accuracy, score, wer, f1, map, auc, psnr, rouge", 0, 4),
    rule("bare percent", "setting", "guidance scale, guidance, scale of, exponential moving average, ema, stride, temporal stride, "
          "threshold, coefficient, loss weight, gamma, lambda, alpha, nucleus, top k, gating, capacity factor, ratio, factor, "
          "\\lambda, \\alpha, theta, base frequency, rope base, compression ratio, downsampling", 0.6, 5),
    rule("language task dataset benchmark model word pod shot fold bit", "count", base=9),
    rule("bare", "mask_ratio", "masking ratio, mask ratio, masking probability, mask probability, masking rate", 0, 5),
)  # fmt: skip
