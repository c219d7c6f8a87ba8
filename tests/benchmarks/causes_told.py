"""One text a mistake, in words unlike those of the other benchmarks: sound with one figure, wrong with another.

``python -m tests.benchmarks.causes_told`` checks each pair alone and behind a sentence about another run, and counts how many wrong ones
are called, with how many causes first, and how many sound ones are called (none may be).
"""

from __future__ import annotations

from collections.abc import Iterator

from gpuhours.questions.checking.papers import PaperCheck
from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper
from gpuhours.questions.verdicts import CONTRADICTED

PAIRS = (
    # cause, text, sound, wrong
    ("nodes for GPUs", "Sixteen nodes, each with eight H100s, were ours for 6 days. The 3B model used {} GPU-hours.", "18,432", "2,304"),
    ("wall-clock for aggregate", "With 64 A100s we were done after 90 hours, that is {} GPU-hours.", "5,760", "90"),
    ("aggregate for wall-clock", "The job took {} days on 32 A100s and was charged 4,608 GPU-hours.", "6", "192"),
    ("hours of one node", "Eight nodes of four A100s worked for 50 hours, which counts as {} GPU-hours.", "1,600", "200"),
    ("replica for cluster", "The 256 H100s form 32 data-parallel replicas. After 100 hours {} GPU-hours were used.", "25,600", "800"),
    ("sparse peak", "Its 7B parameters saw 2T tokens on 512 A100s within 13 days, an MFU of {}%.", "46.8", "23.4"),
    ("another card's peak", "Every A100 gets through 3,500 tokens a second; for 7B parameters that is an MFU of {}%.", "47.1", "14.9"),
    ("HFU as MFU", "All activations are recomputed. The 7B model does 3,000 tokens/s on each A100, an MFU of {}%.", "40.4", "53.8"),
    ("2ND", "A model of 3B parameters that reads 600B tokens needs {} FLOPs. We had 64 A100s.", "1.08e22", "3.6e21"),
    ("8ND", "All activations are recomputed. For 3B parameters and 600B tokens we count {} FLOPs on A100s.", "1.08e22", "1.44e22"),
    ("MAC for FLOP", "The work amounts to {} FLOPs: 3B parameters, 600B tokens. It was done on A100s.", "1.08e22", "5.4e21"),
    ("total parameters for active", "Of its 46B parameters 13B are active for a token. 2T tokens cost {} FLOPs on H800s.",
     "1.56e23", "5.52e23"),
    ("TDP", "20,000 H100-hours, at the 490 W that we measured per GPU, come to {} MWh.", "9.8", "14.0"),
    ("PUE left out", "20,000 H100-hours at 490 W per GPU and a PUE of 1.4 mean that {} MWh were drawn.", "13.7", "9.8"),
    ("PUE applied twice", "20,000 H100-hours at 490 W per GPU and a PUE of 1.4 mean that {} MWh were drawn.", "13.7", "19.2"),
    ("kWh for MWh", "20,000 H100-hours at 490 W per GPU are {} of electricity.", "9,800 kWh", "9,800 MWh"),
    ("kilograms for tonnes", "Training took 50 MWh; at 0.3 kg CO2e per kWh we emitted {} CO2e.", "15,000 kg", "15,000 tonnes"),
    ("carbon for CO2", "Training took 50 MWh; at 0.3 kg CO2e per kWh we emitted {} t CO2e.", "15", "4.09"),
    ("cost of one GPU", "We rented 128 H100s for 100 hours at $2.50 per GPU-hour and paid ${}.", "32,000", "250"),
    ("per node", "12,800 GPU-hours on H100s cost $32,000, at ${} per GPU-hour.", "2.50", "20.00"),
    ("price per node", "A node of 8 H100s costs $20 per hour. We used 40 nodes for 100 hours and paid ${}.", "80,000", "640,000"),
    ("epochs forgotten", "Our corpus has 50B tokens. After 4 epochs over it the 1B model had taken {} FLOPs on A100s.", "1.2e21", "3.0e20"),
    ("downtime", "256 A100s at 3,500 tokens/s per GPU went through 1T tokens. From first to last step it was {} days.", "12.9", "25"),
    ("hours", "64 A100s were busy for {}, which is 3,072 GPU-hours.", "48 hours", "48 days"),
    ("thousand", "The run used {} GPU-hours: 128 H100s for 10 days.", "30,720", "30.7 million"),
    ("thousand", "The bill came to {}, as 12,800 GPU-hours on H100s cost $2.50 each.", "$32,000", "$32 million"),
    ("accumulation forgotten", "Each of 32 A100s has a micro-batch of 2 sequences and accumulates over 8 micro-steps. With pure data "
     "parallelism the global batch is {} sequences.", "512", "64"),
    ("tensor or pipeline degree", "On 256 H100s with tensor parallelism of 8, data parallelism is {}-way.", "32", "256"),
    ("GPUs of a node counted twice", "Ten nodes with 8 A100s each worked for 100 hours. That is {} GPUs, or 8,000 GPU-hours.", "80", "640"),
    ("memory summed", "Our machine has 8 H100s, and each card has {} GB of memory. It was busy for 240 GPU-hours.", "80", "640"),
    ("per node for per GPU", "For 7B parameters and an MFU of 47% each A100 must process {} tokens/s.", "3,490", "27,900"),
    ("all for per GPU", "We have 64 A100s. At 47% MFU with 7B parameters each GPU processes {} tokens/s.", "3,490", "223,000"),
    ("per GPU for all", "We have 64 A100s. At 47% MFU with 7B parameters all GPUs together process {} tokens/s.", "223,000", "3,490"),
    ("hours of one day", "For 30 days the 64 A100s were ours, and {} GPU-hours were used.", "46,080", "1,536"),
    ("a digit", "{} steps with 4M tokens each make 2T tokens; this took 64 A100s.", "500,000", "50,000"),
    ("cores for chips", "128 TPU v3 chips ran for 6 days, or {} chip-hours.", "18,432", "36,864"),
    ("GPUs for nodes", "We used {} nodes with 8 H100s each, 64 GPUs in all, for 512 GPU-hours.", "8", "64"),
    ("steps x batch", "81,000 steps with 512 sequences of 4,096 tokens are {} tokens. The model has 1B parameters.", "170B", "230B"),
    ("speed-up", "On H100s an epoch takes 4.1 hours instead of 9.0 hours on A100s, a speed-up of {}.", "2.2", "3.4"),
    ("price", "At $2.20 an hour, 41,000 H100-hours cost ${}.", "90,200", "125,000"),
)  # fmt: skip
BEFORE = "Our earlier model, Dunlin-3B, took 31 hours on 48 V100s. The new one is Wagtail. "


def outcomes(before: str = "") -> Iterator[tuple[str, str, PaperCheck, PaperCheck]]:
    """Check every pair: yield the cause, the wrong text, the checks of the sound and of the wrong text."""
    for cause, text, sound, wrong in PAIRS:
        both = [before + text.format(figure) for figure in (sound, wrong)]
        yield cause, both[1], *(check_paper(read_paper(one)) for one in both)


def first_causes(check: PaperCheck) -> list[str]:
    """The first cause of every contradiction."""
    return [charge.likely_causes[0].cause for charge in check.contradictions if charge.likely_causes]


def main() -> None:
    """Print what was missed and the counts, alone and behind another run."""
    for name, before in (("alone", ""), ("behind another run", BEFORE)):
        called = named = false = 0
        for cause, text, sound, wrong in outcomes(before):
            found = first_causes(wrong)
            right = any(cause in one for one in found)
            false += sound.verdict == CONTRADICTED
            called += wrong.verdict == CONTRADICTED
            named += right
            if not right or sound.verdict == CONTRADICTED:
                doubts = [(d.statement, d.condition) for run in wrong.runs for d in run.doubts]
                print(
                    f"  {cause}: {text} {wrong.verdict} {found} {doubts}"
                    + (" FALSE" if sound.verdict == CONTRADICTED else "")
                )
        print(f"{name}: {called} of {len(PAIRS)} called, {named} with the cause first; sound: {false} called")


if __name__ == "__main__":
    main()
