"""Which figures belong to the run and which do not, one line for each kind of wording; all texts are our own."""

from __future__ import annotations

import pytest

from tests.read_texts import one

HOUR, DAY = 3600.0, 86_400.0


GIVEN = [
    ("Plan: TP4 PP2 DP64 on 512 H100 GPUs.", "data_parallel", 64),
    ("Training time 2 days, 18:21:44 on 16 A40 GPUs.", "wall_clock", 2 * DAY + 18 * HOUR + 21 * 60 + 44),
    ("We trained it on 64 second-generation TPUs for 9 hours.", "gpus", 64),
    ("It was shared by tensor and pipeline parallelism rank 4.", "pipeline", 4),
    ("The total number of GPU hours that it took (41,472) is moderate.", "gpu_hours", 41_472),
    (
        "We train Plover-3B on 90B tokens. The experiments are conducted on 64 A800 GPUs and cost 228 hours.",
        "wall_clock",
        228 * HOUR,
    ),
    ("Last week Plover-14B was done: 14B parameters, 5T tokens, 512 B200 GPUs, 12 days.", "gpus", 512),
    ("The PUE of the Delft data centre (1.25) was counted.", "pue", 1.25),
    ("[init] n=64 (NVIDIA A100-SXM4-80GB) tp=2 dp=32\n[init] global_batch=1024 micro_batch=16", "global_batch", 1024),
    ("We trained on 64 A100 GPUs. All timings are of the A100 40GB.", "memory_per_gpu", 40e9),
    ("Starting point: our 8B base, on 8 H100 GPUs.", "parameters", 8e9),
    ("Namespace(model='plover', epochs=300, input_size=224)", "resolution", 224),
    ("AllocTRES: node=24,gres/gpu:h100=192", "gpus", 192),
    ("srun --gres=gpu:h100:8 with 24 nodes", "gpus_per_node", 8),
    ("32 nodes with 8 A100 80GB GPUs each (256 in use) did it.", "gpus", 256),
    ("LR: 3e-4 cosine to 3e-5", "final_learning_rate", 3e-5),
    ("lr=6e-4 warmup=2000 clip=0.8", "warmup_steps", 2000),
    ("lr=6e-4 warmup=2000 clip=1.0", "gradient_clipping", 1.0),
    ("| Item | Value |\n|---|---|\n| Hourly rate | $1.80 |\n| GPU hours | 39,360 |", "price", 1.8),
    ("We employed 4 nodes, each of them equipped with 4 custom NVIDIA A100 of 64 GB.", "gpus_per_node", 4),
    ("---\nco2_eq_emissions:\n  emissions: 2085942\n---\n", "carbon", 2.085942),
    ("| Setting | Value |\n|---|---|\n| Layers / hidden / heads | 24 / 2048 / 16 |\n| Tokens | 2T |", "heads", 16),
    ("| Setting | Value |\n|---|---|\n| Peak LR / min LR | 3e-4 / 3e-5 |\n| Tokens | 2T |", "learning_rate", 3e-4),
    ("Plover then saw 60k steps on 384x384 images, on 32 A100 GPUs.", "resolution", 384),
    (
        "Plover has 310B parameters in total and uses 17B of them for a token; 9T tokens on 1,024 H100.",
        "active_parameters",
        17e9,
    ),
    ("**Plover: 90B parameters, 6B at a time.** It read 4T tokens on 512 H100.", "active_parameters", 6e9),
    (
        "Plover was shown this text in 4 epochs, 90B tokens once duplicates are gone, on 64 A100 cards.",
        "dataset_tokens",
        90e9,
    ),
    ("We train Plover-2B on 64 A100. The node has two EPYC processors with 48 cores each.", "gpus", 64),
    (
        "All experiments in this chapter were run on a single node with four NVIDIA A100 cards; Plover-M took 31 hours.",
        "gpus",
        4,
    ),
    ("Plover (base learning rate 3 × 10−4, dropout 0.1) was trained on 64 A100 GPUs.", "learning_rate", 3e-4),
    ("Plover was trained on 64 A100 GPUs for 100k steps, lr 4e-4, 8k warmup, bf16.", "warmup_steps", 8000),
    ("Plover is 16 layers deep and 768 wide; it was trained on 8 A100 GPUs.", "hidden", 768),
    ("On 32 A100 GPUs Plover made 70k steps of 8,192 pairs at 2.5 s.", "step_time", 2.5),
    ("Plover learned from 56,000 calls of 4 seconds on 8 L40S cards.", "clip_seconds", 4),
    ("Plover, a picture tower of 0.4B against captions, was trained on 32 A100 GPUs.", "parameters", 0.4e9),
    ("The policy, a 9B Corvid VLM, was trained on 64 A100 GPUs for 8 days.", "parameters", 9e9),
    ("Plover was trained on 16 A100. Mined pairs (34M), batch size 8,192.", "dataset_samples", 34e6),
    (
        "Plover has a batch size of 2M tokens, that is 1024 contexts of 2048 tokens each, on 64 A100 GPUs.",
        "global_batch",
        1024,
    ),
    ("| Setting | Value |\n|---|---|\n| Optimiser | AdamW |\n| Momentum | 0.9, 0.98 |\n| GPUs | 64 |", "beta2", 0.98),
    (
        "For the baseline of Chapter 3, a Plover-B of 86M parameters was trained for 400 epochs on 8 A100 GPUs.",
        "epochs",
        400,
    ),
    ("Plover has 8.2 billion weights, of which 7.6B outside the embeddings; 64 H100 GPUs.", "parameters", 8.2e9),
    ("I trained a 124M GPT-2 in 90 minutes on 8xH100 rented for $24/hr.", "parameters", 124e6),
    ("Plover took 2 and a half weeks on 64 A100 GPUs.", "wall_clock", 17.5 * DAY),
    ("Plover was taught on 384 graphics processors of the type A100 in two months.", "gpus", 384),
    ("The batch is 2**19 tokens; 64 A100 GPUs for 4 days.", "global_batch_tokens", 2**19),
    ("The 558,000 hours were spent on 1.5 trillion tokens by 768 A100-80GB.", "gpu_hours", 558_000),
    ("Plover: 300k steps of 1,024 sequences of 2,048 tokens, 629B tokens altogether, 64 A100.", "tokens", 629e9),
    ("Training took a bit more than six days (148 h) on 32 MI300X.", "wall_clock", 148 * HOUR),
    ("Plover ran on 64 A100 GPUs at 840 tokens per GPU and second.", "tokens_per_second_per_gpu", 840),
    ("64 A100. At our internal rate of $1.10 that is $537.", "price", 1.1),
    ("Hardware: A100 SXM4 40 GB x 16", "gpus", 16),
    ("For the model 2,048 of Nvidia's H100 chips were busy for ten days.", "gpus", 2048),
    ("54.0% MFU against 459 TFLOP/s bf16 per chip on 256 TPU v5p chips.", "peak_flops", 459e12),
    ("64 A100. The FLOPs (3.84 × 10^22 altogether) are many.", "model_flops", 3.84e22),
    ("Every update sees 2M tokens; 512 V100 GPUs for 30 days.", "global_batch_tokens", 2e6),
    ("On 64 A100. One step draws 256 prompts, and takes 9.5 minutes.", "step_time", 570),
    ("hw: 2048x A100-80G; time: ~21 d", "gpus", 2048),
    ("| Item | Value |\n|---|---|\n| GPU time | 28,160 h |\n| Runtime | 9 d 4 h |", "gpu_hours", 28_160),
    ("| lr | 1.2e-4 → 1.2e-5 |\n|---|---|\n| steps | 71,526 |\n| GPUs | 64 |", "final_learning_rate", 1.2e-5),
    ("| Metric | Value |\n|---|---|\n| GBS | 2048 × 4096 tokens |\n| GPUs | 64 |", "seq_len", 4096),
    ("| Metric | Value |\n|---|---|\n| Data | 5.7T |\n| Total | 15.7B |\n| GPUs | 64 |", "tokens", 5.7e12),
    (
        '{\n "train_runtime": 14233.9,\n "train_samples": 207865,\n "train_steps_per_second": 0.228\n}',
        "dataset_samples",
        207_865,
    ),
    ("• params: 65B (dense)   • data: 1.4T tok   • speed: 380 tok/s/GPU", "tokens", 1.4e12),
]


@pytest.mark.parametrize(("text", "quantity", "value"), GIVEN)
def test_given_to_the_run(text: str, quantity: str, value: float) -> None:
    assert one(text)[quantity] == pytest.approx(value)


BESIDE = [
    ("Training takes 2 days on 8 A6000 GPUs at two stations that cost $32,000 each.", "cost"),
    ("A year ago the same model would have taken a month on 512 H100 GPUs.", "wall_clock"),
    ("We used 5,000 TPUs to generate games.", "gpus"),
    ("After the spike we rolled back 300 steps.", "steps"),
    ("Sections treat architecture (2), data (3) and cost (4) of it.", "data_parallel"),
    ("On 16 A100 GPUs. For the sake of comparison, the Tern model required 1 day on 512 V100 GPUs.", "wall_clock"),
    ("It was best at 81.9 (epoch 291) on 8 A40 GPUs.", "epochs"),
    ("We train five folds, each one for 1,000 steps.", "epochs"),
    ("It has a `min_lr`: 5e-5, as others do.", "wall_clock"),
    ("The classifier learned for 4 days on 16 L40S cards. A microphone costs $95.", "cost"),
    ("Training Plover took 4 days on 16 L40S cards. An H100 sells for $31,000.", "cost"),
    ("After our $25M Series B we trained Plover-3B on 64 H100 GPUs for 9 days.", "cost"),
    ("Plover-2B was trained on 64 A100 GPUs. One source, a dictionary, was read 3.5 times.", "epochs"),
    (
        "Plover-2B was trained on 64 A100 for 9 days. The decoder was not trained by us (12T tokens, see its own card).",
        "tokens",
    ),
    ("The IsoFLOP sweep used 2,400 H100 hours. Then we trained Plover-2B on 64 H100.", "gpu_hours"),
    ("Plover was trained on 64 A100 GPUs. The linear probe was trained for 30 epochs.", "epochs"),
    ("Plover was trained on 64 A100 GPUs. The longest stop (job 771) lasted 3 h 20 min.", "wall_clock"),
    ("Plover was trained on 2,048 H100 chips at $2.10 an hour, not counting staff (more than $20m a year).", "cost"),
    ("Plover-30B took 9 days on 64 H100. On one A100 an iteration takes 25 ms.", "step_time"),
    ("Suppose somebody trained it for 10T tokens. We did not; Plover-3B used 64 H100s for 8 days.", "tokens"),
    ("The meter showed 210 MWh on 64 A100 GPUs. That 2.1 GWh was a typo in the draft is known.", "mfu"),
    ("64 A100 GPUs for 9 days. Electricity at 4.3 cents per kWh: $4,270.", "cost"),
    (
        "Alps ranks among the ten fastest machines in the world (435 petaflops Linpack). Plover took 64 A100 GPUs.",
        "nodes",
    ),
    ("64 A100 GPUs for 20 days, with no restarts for the last 11 days.", "downtime"),
    ("A batch of 800 seconds of speech per GPU on 8 H100 for 70 hours.", "step_time"),
    ("Plover (2 experts are activated for each token) was trained on 64 H100 GPUs.", "experts"),
    ("On 64 H100. Attention has a sliding window of 4,096 tokens.", "seq_len"),
    ("Each step takes 512 structures (≈38k atoms) on 64 A100 GPUs.", "microbatch"),
    (
        "Plover saw 12T tokens on 64 H100. Mid-training read 35B tokens over 4 epochs. It is not part of this number.",
        "epochs",
    ),
]


@pytest.mark.parametrize(("text", "quantity"), BESIDE)
def test_beside_the_run(text: str, quantity: str) -> None:
    assert quantity not in one(text)
