"""What a figure counts, or that it counts nothing of the run, from the words directly beside it; texts are ours."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper

DAY, HOUR = 86_400.0, 3600.0
Figures = list[tuple[str, float]]

KINDS: dict[str, list[tuple[str, Figures, Figures]]] = {
    "a scale in the plural, with of": [
        ("The network has 410 millions of parameters.", [("parameters", 4.1e8)], []),
        ("It has read 35 billions of tokens in nine days on 16 A100.", [("tokens", 3.5e10)], []),
        ("We trained 2.6 billions of weights on 64 H100.", [("parameters", 2.6e9)], []),
        ("Two trillions of tokens were consumed by it.", [("tokens", 2e12)], []),
        ("The model of 1.7 billion of parameters ran on 8 cards.", [("parameters", 1.7e9), ("gpus", 8)], []),
    ],
    "a rate with per second behind a rate": [
        ("Every card kept up 388 teraflops per second.", [("flops_per_second_per_gpu", 388e12)], []),
        ("Each GPU ran at 141 teraFLOPS per second, 45 percent of peak.", [("flops_per_second_per_gpu", 141e12), ("mfu", 0.45)], []),
        ("Per accelerator we saw 205 TFLOPs per second.", [("flops_per_second_per_gpu", 205e12)], []),
        ("The rate per chip was 118 teraflops per second.", [("flops_per_second_per_gpu", 118e12)], []),
        ("It ran at 5,120 tokens per second and chip on 64 chips.", [("tokens_per_second_per_gpu", 5120)], []),
    ],
    "one trillion tokens is the whole": [
        ("With 7B parameters and one trillion tokens the job took 21 days on 128 A100, 64,512 GPU-hours.",
         [("wall_clock", 21 * DAY), ("gpu_hours", 64512), ("tokens", 1e12)], []),
        ("It saw a trillion tokens, and used 96 H100 for 18 days.", [("wall_clock", 18 * DAY), ("tokens", 1e12)], []),
        ("Updates: 250,000 with 4M tokens each, i.e. one trillion tokens; this filled 256 V100 for 30 days, 184,320 GPU-hours.",
         [("wall_clock", 30 * DAY), ("gpu_hours", 184320)], []),
        ("After one trillion tokens, and 14 days on 64 H200, we stopped.", [("wall_clock", 14 * DAY)], []),
        ("One trillion tokens takes 4 days on our cluster, or 98,000 GPU-hours.", [], [("wall_clock", 4 * DAY), ("gpu_hours", 98000)]),
    ],
    "the warm-up behind a comma": [
        ("Peak learning rate 3e-4, reached after 1,500 steps.", [("warmup_steps", 1500)], []),
        ("The maximum rate is 6e-4 (reached after 4,000 updates).", [("warmup_steps", 4000)], []),
        ("The rate peaks at 2e-4, after 1,000 iterations.", [("warmup_steps", 1000)], []),
        ("Our learning rate has its maximum of 1.5e-4, reached within 2,500 steps.", [("warmup_steps", 2500)], []),
        ("The learning rate climbs to 4e-4, reached by 800 steps.", [("warmup_steps", 800)], []),
    ],
    "a part of the model": [
        ("It has 2.4B parameters, 0.6B of which sit in the vision tower.", [("parameters", 2.4e9), ("vision_parameters", 6e8)], []),
        ("Of 9.1B parameters in all, 0.4B of which are in the image encoder.", [("vision_parameters", 4e8)], []),
        ("Image side 304M, text side 124M, together 428M parameters.", [("parameters", 4.28e8), ("vision_parameters", 3.04e8)], []),
        ("Vision side: 86M. Text side: 38M. Altogether 124M parameters.", [("vision_parameters", 8.6e7), ("parameters", 1.24e8)], []),
        ("The policy has 3.3B parameters, 0.4B of which form the vision encoder.", [("vision_parameters", 4e8), ("parameters", 3.3e9)], []),
    ],
    "how the batch is spread": [
        ("Global batch 32,768 (256 on each of 128 A100).", [("global_batch", 32768), ("microbatch", 256)], []),
        ("A batch of 4,096 clips, 64 on each of 64 H100 cards.", [("global_batch", 4096), ("microbatch", 64)], []),
        ("- 32 H100, data parallelism only (32 ranks)", [("data_parallel", 32)], []),
        ("- plain data parallelism: 128 ranks on 128 A100", [("data_parallel", 128)], []),
        ("We trained with pure data parallelism across 48 workers.", [("data_parallel", 48)], []),
    ],
    "from the first to the last": [
        ("- 96 hours from start to finish (6,144 GPU-hours)", [("wall_clock", 96 * HOUR)], []),
        ("- 31 hours from beginning to end", [("wall_clock", 31 * HOUR)], []),
        ("From launch to completion: 210 hours on 64 cards.", [("wall_clock", 210 * HOUR)], []),
        ("It was 55 hours from start to end.", [("wall_clock", 55 * HOUR)], []),
        ("Start to end, 400 hours.", [("wall_clock", 400 * HOUR)], []),
    ],
    "a time of something else": [
        ("Over the next six hours it rains. Training took 3 days on 8 A100.", [("wall_clock", 3 * DAY)], [("wall_clock", 6 * HOUR)]),
        ("It predicts floods with a lead time of 36 hours; training it took 5 days on 4 A100.",
         [("wall_clock", 5 * DAY)], [("wall_clock", 36 * HOUR)]),
        ("Warnings come 36 hours ahead. We trained on 16 V100 for 2 days.", [("wall_clock", 2 * DAY)], [("wall_clock", 36 * HOUR)]),
        ("Cutting the film kept 60 CPU nodes busy for three weeks. Training took 8 days on 32 H100.",
         [("wall_clock", 8 * DAY)], [("wall_clock", 21 * DAY)]),
        ("With a forecast horizon of ten days it was trained for 60 hours on 32 chips.",
         [("wall_clock", 60 * HOUR)], [("wall_clock", 10 * DAY)]),
    ],
    "the power of a node": [
        ("A node under load takes 5.6 kW. Each card draws 410 W.", [("gpu_power", 410)], [("gpu_power", 5600)]),
        ("We measured 2.1 kW per node.", [], [("gpu_power", 2100), ("power", 2100)]),
        ("Every server drew 9.8 kW, and the 64 H100 ran for 9 days.", [("gpus", 64)], [("gpu_power", 9800), ("power", 9800)]),
        ("One rack needs 41 kW.", [], [("power", 41000)]),
        ("A host with its four cards takes 1.9 kW.", [], [("gpu_power", 1900)]),
    ],
    "a share of a peak": [
        ("The card is specified at 312 TFLOP/s, of which we obtained 41%.", [("mfu", 0.41), ("peak_flops", 312e12)], []),
        ("Of the 989 TFLOP/s in the data sheet we reached 37 %.", [("mfu", 0.37)], []),
        ("The utilisation of the cards (model FLOPs over nominal 312 TFLOP/s) was 44.1%.", [("mfu", 0.441), ("peak_flops", 312e12)], []),
        ("Utilization of the chips (six operations per weight and token) is 39%.", [("mfu", 0.39)], []),
        ("From the 155 TFLOPS of the card we have extracted 33 percent.", [("mfu", 0.33)], []),
    ],
    "what it was before": [
        ("It was trained on 300B tokens instead of 180B.", [("tokens", 3e11)], [("tokens", 1.8e11)]),
        ("Training took 9.5 days instead of 16 on 64 H100.", [("wall_clock", 9.5 * DAY)], [("wall_clock", 16 * DAY)]),
        ("We used 128 GPUs rather than 64.", [("gpus", 128)], [("gpus", 64)]),
        ("The run cost 12,000 GPU-hours, down from 30,000.", [("gpu_hours", 12000)], [("gpu_hours", 30000)]),
        ("MFU is 46%, up from 39%.", [("mfu", 0.46)], [("mfu", 0.39)]),
    ],
    "a number in full": [
        ("The network of 5,200,000,000 weights saw 1,400,000,000,000 tokens.", [("parameters", 5.2e9), ("tokens", 1.4e12)], []),
        ("12,400,000,000 parameters, of which a token touches 3,100,000,000.", [("parameters", 1.24e10), ("active_parameters", 3.1e9)], []),
        ("Sizes: teacher 3,300,000,000 parameters, batch 1,000,000 tokens.", [("global_batch_tokens", 1e6)], []),
        ("It has 860000000 parameters and took 30208 GPU-hours.", [("parameters", 8.6e8), ("gpu_hours", 30208)], []),
        ("We train on a set of 80,000,000 pictures for 90,000 steps.", [("dataset_samples", 8e7), ("steps", 90000)], []),
    ],
    "only a part was used": [
        ("304 GH200 superchips were ours, though only 256 of them were used.", [("gpus", 256)], [("gpus", 304)]),
        ("The partition has 512 A100; just 480 of them ran our job for 9 days.", [("gpus", 480)], [("gpus", 512)]),
        ("500 billion tokens were read, among them 34 billion from newspapers.", [("tokens", 5e11)], [("tokens", 3.4e10)]),
        ("It saw 2T tokens, including 300B of code.", [("tokens", 2e12)], [("tokens", 3e11)]),
        ("It went through 900B tokens, among these 80B in Finnish.", [("tokens", 9e11)], [("tokens", 8e10)]),
    ],
    "a part stands in reserve": [
        ("The cluster has 66 nodes of eight H100 each, of which two are hot spares; the 7B model itself ran on 512 GPUs.",
         [("gpus", 512), ("gpus_per_node", 8)], [("nodes", 66), ("gpus", 528)]),
        ("The partition holds 34 nodes (8x A100), two of them spare. The run used 256 A100s.", [("gpus", 256)], [("nodes", 34)]),
        ("We rent 130 nodes with 8 H100 each, two as spares. 1,024 GPUs trained it.", [("gpus", 1024)], [("nodes", 130)]),
        ("Of the run's 18 nodes, two of which stand by for failures, 128 A100s trained for 20 days.", [("gpus", 128)], [("nodes", 18)]),
        ("It ran on 64 nodes for 12 days, and two of the epochs were spared.", [("nodes", 64)], []),
        ("It ran on 64 nodes, two of them with less memory.", [("nodes", 64)], []),
    ],
    "a rate and that of one device": [
        ("At 4.0 s per step that is 1M tokens per second, 7.8k per GPU, on 128 H100 GPUs.",
         [("tokens_per_second", 1e6), ("tokens_per_second_per_gpu", 7800)], [("tokens_per_second_per_gpu", 1e6), ("microbatch", 7800)]),
        ("Throughput is 1M tokens per second (7.8k per GPU) on 128 H100.",
         [("tokens_per_second", 1e6), ("tokens_per_second_per_gpu", 7800)], []),
        ("We saw 640k tokens/s, or 10k per device, on 64 A100.", [("tokens_per_second", 6.4e5), ("tokens_per_second_per_gpu", 1e4)], []),
        ("Each of the 128 H100s handles 7.8k tokens per second.", [("tokens_per_second_per_gpu", 7800)], []),
        ("Throughput was 1M tokens per second with 8 GPUs per node.", [("tokens_per_second", 1e6)], [("tokens_per_second_per_gpu", 8)]),
        ("It did 900 samples per second with 14 per GPU in a micro-batch.", [("samples_per_second", 900), ("microbatch", 14)], []),
    ],
    "a transformer of a size": [
        ("We push 600B tokens through a 3B transformer on 96 H200.", [("tokens", 6e11), ("parameters", 3e9)], [("tokens", 3e9)]),
        ("We fed 180B tokens to a 1.4B network.", [("tokens", 1.8e11), ("parameters", 1.4e9)], [("tokens", 1.4e9)]),
        ("The 86M transformer was trained on 1.2M images.", [("parameters", 8.6e7), ("dataset_samples", 1.2e6)], []),
    ],
    "a short time on a machine": [
        ("Record: 2.9 minutes on 8xH100.", [("wall_clock", 174), ("gpus", 8)], []),
        ("One 8xH100 box. 45 minutes. 1,770 steps.", [("wall_clock", 2700)], []),
        ("4 nodes of 8 A100. 3 hours.", [("wall_clock", 3 * HOUR)], []),
        ("We ran for just under a month, 28 days, on 64 GPUs.", [("wall_clock", 28 * DAY)], [("wall_clock", 58.4 * DAY)]),
        ("The whole thing is 5.5 minutes on 64 chips.", [("wall_clock", 330)], []),
    ],
    "units of a kind": [
        ("Computing resources: 512 units of type A100, 20 days.", [("gpus", 512), ("wall_clock", 20 * DAY)], []),
        ("We had 2,048 units of the H100 for a month.", [("gpus", 2048)], []),
        ("4.1 Resources: 256 units of type H200; 122,880 unit-hours (GPU-hours).", [("gpus", 256), ("gpu_hours", 122880)], []),
        ("The offer comprised 96 units of model MI300X.", [("gpus", 96)], []),
        ("In chip-hours that is 21.5k.", [("gpu_hours", 21500)], []),
    ],
}  # fmt: skip
"""Texts with what must be read of them, and what must not, by the kind of wording."""


def readings(text: str) -> Figures:
    return [(claim.quantity, claim.value) for run in read_paper(text).runs for claim in run.claims]


@pytest.mark.parametrize("kind", KINDS)
def test_words_beside_a_figure_decide_it(kind: str) -> None:
    wrong = {}
    for text, own, never in KINDS[kind]:
        found = readings(text)

        def read(one: tuple[str, float], found: Figures = found) -> bool:
            return any(one[0] == name and value == pytest.approx(one[1], rel=0.003) for name, value in found)

        missed, taken = [one for one in own if not read(one)], [one for one in never if read(one)]
        if missed or taken:
            wrong[text] = (missed, taken, found)
    assert not wrong
