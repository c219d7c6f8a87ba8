"""Sound texts whose figures meet only under a convention that they tell or that is usual: none may be called contradicted.

``python -m tests.benchmarks.unusual [--list]`` checks each and counts how many are called, consistent and left open. Every text's
arithmetic holds: the product that it tells is written behind it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONSISTENT, CONTRADICTED, NOT_DETERMINED

TEXTS = {
    # 64 x (41 + 77 + 18) = 8,704
    "three jobs":
    "Siskin was trained in three jobs on 64 A100s each: the first ran for 41 hours, the second for 77 and the last for 18. "
    "Together they come to 8,704 GPU-hours.",
    # 528 x 240 = 126,720
    "warm spares":
    "512 H100s computed and 16 more stood by as warm spares, so the bill counts 528 of them. After 10 days it said 126,720 "
    "GPU-hours. Brambling has 13B parameters and read 1.4T tokens.",
    # 24 x 120 = 2,880
    "half of each node":
    "We were allowed four of the eight GPUs in each of 6 nodes. With these 24 A100s the run took 5 days, which is 2,880 "
    "GPU-hours, for 0.9B parameters and 140B tokens.",
    # 60,000 x 1,048,576 = 62.9B
    "steps computed again":
    "The schedule has 60,000 steps of 1,048,576 tokens, 62.9B tokens in all. At step 40,000 the job died and was started "
    "again from step 36,000, so that 64,000 steps were computed. Size: 1.3B parameters. Hardware: 32 A100s.",
    # 4 x 8 x 16 = 512; 512 x 2,048 x 25,000 = 26.2B
    "accumulation":
    "Each of the 16 A100s takes 4 sequences at a time and adds up 8 micro-batches, for an effective batch of 512 sequences "
    "of 2,048 tokens. 25,000 such steps are 26.2B tokens.",
    # 6 x 5.6e9 x 1.5e12 = 5.04e22
    "experts": "Dotterel holds 20B parameters in its experts, of which a token meets 5.6B. Over 1.5T tokens that makes 5.0e22 FLOPs. "
    "It took 64,000 H100-hours on 256 GPUs.",
    # 3.3 x 90 = 297
    "a broken number of epochs":
    "From 90B tokens of Faroese and Icelandic the 1.1B model drew about 300B, passing over them 3.3 times. 16 H100s needed "
    "9 days.",
    # 112 x 192 + 1,900 = 23,404
    "evaluation on top":
    "Training kept 112 A100s for 8 days, 21,504 GPU-hours. Evaluation during and after it needed 1,900 more, so that the "
    "project was charged 23,404 GPU-hours.",
    # 256 x 168 = 43,008
    "hours to one digit": "It ran for about a week on 256 H100s, some 40k GPU-hours, and saw roughly 1T tokens with its 8B parameters.",
    # 50,000 x 1.92 = 96,000
    "a discount": "The list says $3.20 an hour for an H100. We were given 40 % off and paid $1.92, so the 50,000 GPU-hours cost us "
    "$96,000.",
    # 30,000 x 400 W = 12 MWh; x 1.2 = 14.4; x 0.4 = 5.76
    "losses told":
    "30,000 A100-hours at a measured 400 W are 12 MWh. The hall has a PUE of 1.2: 14.4 MWh at the meter. The grid emits 0.4 "
    "kg CO2e per kWh, which gives 5.8 t.",
    # 2 + 0.05
    "two lengths":
    "Gadwall-7B was trained on 2T tokens with a context of 4k and then on 50B more with 32k. Both stages ran on 512 A100s; "
    "the first took 13 days, the second 10 hours.",
    # 6 x 7e9 x 2e12 / (512 x 13 x 86,400 x 312e12) = 46.8 %
    "a corpus larger than the run": "Our corpus has 15T tokens, of which the 7B model saw 2T. 512 A100s were busy with it for 13 days.",
    # 128 x 17 x 24 = 52,224; 128 x 14 x 24 = 43,008
    "billed and used":
    "128 A100s were reserved for 17 days. Three days were lost to a broken switch. The invoice lists 52,224 GPU-hours; the "
    "training itself used 43,008.",
    # 128 x 144 = 18,432
    "cores and chips":
    "Training used a TPU v3-256, which is 256 cores on 128 chips, for 6 days, or 18,432 chip-hours. The encoder has 340M "
    "parameters.",
    # 1,200 x 4 = 4,800
    "nodes of four": "The project was charged 1,200 node-hours. As each node has four A100s, that equals 4,800 GPU-hours.",
    # 64 x 96 + 128 x 72 = 15,360
    "a machine that doubled": "For four days we had 64 H100s, then 128 for another three. The whole came to 15,360 GPU-hours.",
    # 6 x 7e9 x 2e12 / (159,000 x 3,600 x 312e12) = 47.0 %
    "best and mean": "At its best the 7B model reached an MFU of 55 %. Over 2T tokens and 159,000 A100-hours the mean was 47 %.",
    # 0.41 x 4/3 = 0.547
    "two utilisations":
    "With all activations recomputed, HFU was 54.7 % and MFU 41 %. The 30B model was trained on 1T tokens with 512 A100s.",
    # 4 x 70e9 x 60e6 / 989e12 = 4.7 h at 100 %; 40 % -> 11.8 h
    "adapters": "We tuned rank-16 LoRA adapters of a 70B model on 60M tokens. One node with 8 H100s did it in 90 minutes, 12 GPU-hours.",
    # 1.2812e6 x 90 / 1,024 = 112,600
    "epochs of pictures":
    "A ViT-B/16 (86M parameters) was trained for 90 epochs on 1.28M images with a batch of 1,024, about 112,600 steps, on 8 "
    "V100s in 40 hours (320 GPU-hours).",
    # 512,000 x 2,048 = 1.05B
    "pictures seen":
    "The diffusion model (900M parameters) saw 1.05B images: 512,000 steps with a batch of 2,048. 64 A100s needed 12 days, "
    "18,432 GPU-hours.",
    # 32 x 70 = 2,240
    "hours of speech": "60,000 hours of speech were used. On 32 A100s the recogniser (600M parameters) took 70 hours, 2,240 GPU-hours.",
    # 8 x 4 x 16 = 512
    "three degrees":
    "512 H100s were arranged as TP 8, PP 4 and DP 16; a replica therefore has 32 GPUs. One step of 4M tokens took 5.1 s for "
    "the 65B model.",
    # 64 x 8 = 512
    "experts inside the replicas":
    "On 512 H800s we use 64-way data parallelism and 8-way tensor parallelism; experts are spread over 8 of the "
    "data-parallel ranks. The model has 90B parameters, 11B active.",
    # 1e12 / 3,100 / 3,600 = 89,606
    "running and on average":
    "While it runs, each A100 processes 3,600 tokens per second; with stops it is 3,100. 1T tokens hence took 89,600 "
    "GPU-hours. The model has 7B parameters.",
    # 400 MWh x 0.35 = 140
    "two ways to count carbon":
    "The run consumed 400 MWh. By location that is 140 t CO2e, at 0.35 kg/kWh; by market it is zero, since the electricity "
    "is certified.",
    # 10,000 x 420 W = 4.2 MWh; 5.9 MWh at the plug
    "boards and plug": "The boards drew 420 W each, 4.2 MWh over 10,000 H100-hours. At the plug the nodes took 5.9 MWh.",
    # 200,000 x 2.4 = 480,000
    "staff in the budget": "The project cost $2.1M, of which $480,000 were for 200,000 H100-hours at $2.40; the rest was salaries.",
    # 512 x 311 = 159,232
    "a grant": "We were awarded 500,000 A100-hours and used 312,000 of them. The 7B model alone took 159,000 (512 GPUs, 13 days, 2T "
    "tokens); the rest went into ablations.",
    "memory left": "Each A100 has 80 GB, of which 62 GB are in use with a micro-batch of 4. There are 8 in the machine, 640 GB in total.",
    # 3.2 / 2.0 = 1.6; 1 - 2 / 3.2 = 37.5 %
    "a speed-up": "Fusing the kernels brought a step from 3.2 s down to 2.0 s, 1.6 times as fast, that is 37.5 % less time.",
    # 6 x 12e9 x 1e12 / (256 x 10.6 x 86,400 x 989e12) = 31 %
    "eight bits": "We train in FP8, but state MFU against the BF16 peak: 31 % on 256 H100s. 12B parameters, 1T tokens, 10.6 days.",
    # 1,000 x 720 = 720,000
    "very round": "Roughly a month on about a thousand H100s, say 700,000 GPU-hours, for a model of some 30B parameters and a good 4T "
    "tokens.",
    # 5 x 4 x 11 = 220
    "seeds": "Every experiment was repeated with five seeds. A run takes 11 hours on 4 V100s, so one experiment costs 220 GPU-hours.",
    # 10 x 14 x 32 = 4,480
    "nights": "We could only use the cluster at night, ten hours at a time. After 14 nights on 32 A100s the training was complete: "
    "4,480 GPU-hours over two weeks.",
    # 6 x 34e9 x 2e12 / (1024 x 16.5 x 86,400 x 989.4e12) = 28.2 %
    "slower than planned": "We had planned 12 days on 1,024 H100s. It became 16.5 days, 405,504 GPU-hours, as the network was weak. 34B "
    "parameters, 2T tokens.",
    # 48 x 6 x 24 = 6,912; 16 x 30 = 480
    "a trial before":
    "A trial on 16 A100s took 30 hours (480 GPU-hours). The run itself used 48 of them for 6 days, 6,912 GPU-hours, for a "
    "1.9B model and 262B tokens.",
    # 1,024 x 2,048 x 125,000 = 262B
    "a smaller batch tried":
    "The batch is 1,024 sequences of 2,048 tokens. We tried to halve it to 512 sequences, without success. 125,000 steps "
    "make 262B tokens.",
    # 3 x 4,000 = 12,000
    "hours of each of three": "Three models of 1B, 3B and 7B parameters took 4,000, 12,000 and 29,000 A100-hours, 45,000 in all.",
    # 0.6 x 128 x 60 = 4,608
    "a share of the time":
    "We held 128 H100s for 60 hours but trained for 60 % of that time; of the 7,680 GPU-hours paid for, 4,608 did work.",
    # 6 x 1.5e9 x 100e9 = 9e20; embeddings left out
    "without embeddings":
    "Counted without its embeddings the model has 1.5B parameters (1.8B with them). 100B tokens at 6 FLOPs per parameter "
    "are 9e20 FLOPs.",
    # 2,000 x 0.9 = 1,800
    "in another currency": "2,000 A100-hours at 1.10 EUR cost the institute 2,200 EUR, about $2,400.",
}  # fmt: skip


def outcomes() -> Iterator[tuple[str, str, PaperCheck]]:
    """Check every text."""
    for name, text in TEXTS.items():
        yield name, text, check_paper(read_paper(text))


def main() -> None:
    """Print the counts, and with ``--list`` what is said of each text that is not called consistent."""
    verdicts = []
    for name, _, check in outcomes():
        verdicts.append(check.verdict)
        if "--list" in sys.argv and check.verdict != CONSISTENT:
            said = [f"{c.statement} [{', '.join(x.cause for x in c.likely_causes[:2])}]" for c in check.contradictions]
            doubts = [f"{d.statement}: {d.condition}" for run in check.runs for d in run.doubts]
            print(f"  {name}: {check.verdict} {said} doubts {doubts} {list(check.to_settle)}")
    counts = [f"{verdict} {verdicts.count(verdict)}" for verdict in (CONTRADICTED, CONSISTENT, NOT_DETERMINED)]
    print(f"sound texts {len(verdicts)}: {', '.join(counts)}")


if __name__ == "__main__":
    main()
