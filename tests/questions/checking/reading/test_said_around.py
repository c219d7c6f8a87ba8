"""What a figure counts, told before or around it: pronouns, gaps, questions, remarks in labels, keys, slashes; texts are ours."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper

DAY, HOUR = 86_400.0, 3600.0

KINDS: dict[str, list[tuple[str, list[tuple[str, float]], list[tuple[str, float]]]]] = {
    "spaces group digits": [
        ('# Plover-7B\n\nIt used 40 320 GPU-hours.', [("gpu_hours", 40320)], []),
        ('# Plover-7B\n\nThe job took 1 920 node-hours on 16 nodes.', [("node_hours", 1920)], []),
        ('# Plover-7B\n\nTraining ran for 286 102 steps.', [("steps", 286102)], []),
        ('# Plover-7B\n\nWe used 1 024 H100 GPUs.', [("gpus", 1024)], []),
        ('# Plover-7B\n\nIn total 221 184 GPU-hours were spent.', [("gpu_hours", 221184)], []),
        ('# Plover-7B\n\nThe bill was $ 442 368.', [("cost", 442368)], []),
        ('# Plover-7B\n\nEnergy: 180 500 kWh.', [("energy", 1.805e+08)], []),
        ('# Plover-7B\n\nGPU hours: 1 250 000', [("gpu_hours", 1.25e+06)], []),
        (
            '# Plover-7B\n\n| GPUs | Steps | GPU-hours |\n|---|---|---|\n| 512 | 500 000 | 221 184 |',
            [("steps", 500000), ("gpu_hours", 221184)], [],
        ),
        ('# Plover-7B\n\nWe used 512 H100 GPUs on 64 nodes, batch 2 048 sequences.', [("gpus", 512), ("global_batch", 2048)], []),
        ('# Plover-7B\n\nIn stage 2 512 H100 GPUs were used.', [("gpus", 512)], []),
        ('# Plover-7B\n\nFrom 2021 512 H100 GPUs were used.', [("gpus", 512)], []),
    ],
    "a pronoun stands for things": [
        ('# Plover-7B\n\nThe cards are H100s, and we had 512 of them for 18 days.', [("gpus", 512), ("wall_clock", 18 * DAY)], []),
        ('# Plover-7B\n\nOur cluster has A100 GPUs. Training used 256 of those.', [("gpus", 256)], []),
        ('# Plover-7B\n\nH100s, of course. 768 of them, for 20 days.', [("gpus", 768)], []),
        ('# Plover-7B\n\nSequences are 4,096 tokens long; a batch holds 1,024 of them.', [("seq_len", 4096), ("global_batch", 1024)], []),
        ('# Plover-7B\n\nA sequence has 2,048 tokens, and we feed 512 sequences a step.', [("seq_len", 2048), ("global_batch", 512)], []),
        ('# Plover-7B\n\nOne update takes 2.1 s. We made 300,000 of them.', [("steps", 300000)], []),
        ('# Plover-7B\n\nThe machine consists of nodes with eight A100s; 40 such nodes were ours.', [("nodes", 40)], []),
        (
            '# Plover-7B\n\nIt runs on TPU v4 chips. We took 1,024 of those for three weeks.',
            [("gpus", 1024), ("wall_clock", 21 * DAY)], [],
        ),
        ('# Plover-7B\n\nThe updates took 3.1 seconds each, and there were 120,000 of them.', [("steps", 120000)], []),
    ],
    "a clause leaves nouns out": [
        (
            '# Plover-7B\n\nStage 1 took 64 GPUs for 6 days and stage 2 took 128 for 3.',
            [("gpus", 64), ("gpus", 128), ("wall_clock", 3 * DAY), ("wall_clock", 6 * DAY)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B was trained on 512 H100s for 18 days, Plover-1B on 64 for 9.',
            [("gpus", 64), ("wall_clock", 9 * DAY), ("gpus", 512)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B read 2 trillion tokens, Plover-1B only 1 trillion. They took 80,000 and'
            ' 9,000 GPU-hours.',
            [("tokens", 2e+12), ("tokens", 1e+12)], [],
        ),
        (
            '# Plover-7B\n\nPhase one lasted 12 days on 256 GPUs, phase two 5 on 128.',
            [("gpus", 256), ("gpus", 128), ("wall_clock", 12 * DAY), ("wall_clock", 5 * DAY)], [],
        ),
        (
            '# Plover-7B\n\nThe first half of training used 128 GPUs, the second half 256. The first half took'
            ' 10 days, the second 5.',
            [("gpus", 128), ("gpus", 256)], [],
        ),
        ('# Plover-7B\n\nPlover-7B took 221,184 GPU-hours, Plover-1B 13,824.', [("gpu_hours", 221184), ("gpu_hours", 13824)], []),
    ],
    "a question says what its answer counts": [
        (
            'FAQ about Plover-7B\n\nQ. How many parameters does it have?\nA. 4.3B.\n\nQ. For how long did you'
            ' train?\nA. 25 days.',
            [("parameters", 4.3e+09), ("wall_clock", 25 * DAY)], [],
        ),
        (
            '# Plover\n\n**How big is it?** 4.3B parameters.\n\n**How many GPUs did you use?** 128.\n\n**How'
            ' long did it take?** Nine days.',
            [("gpus", 128), ("wall_clock", 9 * DAY), ("parameters", 4.3e+09)], [],
        ),
        (
            '# Plover\n\n### What is the context length?\n\n8,192.\n\n### How many tokens did it see?\n\n1.5'
            ' trillion.',
            [("seq_len", 8192), ("tokens", 1.5e+12)], [],
        ),
        (
            'Q: Sequence length?\nA: 4,096.\n\nQ: Batch size?\nA: 1,024.\n\nQ: Learning rate?\nA: 3e-4, with a'
            ' cosine.',
            [("seq_len", 4096), ("global_batch", 1024), ("learning_rate", 0.0003)], [],
        ),
        ('Q. What MFU do you get?\nA. About 43%.\n\nQ. How many steps?\nA. 120,000.', [("mfu", 0.43), ("steps", 120000)], []),
        ('# Plover\n\nHow many cards? 256, all of them H100. How many days? Twelve.', [("gpus", 256), ("wall_clock", 12 * DAY)], []),
        (
            'Q. How many GPU-hours is that?\nA. 48,000, more or less.\n\nQ. What did it cost?\nA. $96,000.',
            [("gpu_hours", 48000), ("cost", 96000)], [],
        ),
        (
            '# Plover\n\n**Q: How large is the model?**\n\nA: 6.7 billion parameters in 32 layers.\n\n**Q: What'
            ' is the batch?**\n\nA: 4M tokens.',
            [("parameters", 6.7e+09), ("global_batch_tokens", 4e+06), ("layers", 32)], [],
        ),
        (
            '# Plover\n\nThe obvious question is: how long did it train? Eighteen days. And on how many GPUs?'
            ' 512.',
            [("wall_clock", 18 * DAY), ("gpus", 512)], [],
        ),
        (
            '# Plover\n\nQ. How many parameters?\nA. 7B.\n\nQ. Could I repeat this on eight cards?\nA. Eight'
            ' A100s would be busy for 250 days.\n\nQ. How long did you train?\nA. 25 days on 80 A100s.',
            [("wall_clock", 25 * DAY), ("gpus", 80)], [("wall_clock", 250 * DAY), ("gpus", 8)],
        ),
    ],
    "a remark stands in a label": [
        ('# Plover-7B\n\n- GPU-hours, all jobs of the final training: 12,400', [("gpu_hours", 12400)], []),
        ('# Plover-7B\n\n- Parameters, counted with embeddings: 7.9 billion', [("parameters", 7.9e+09)], []),
        ('# Plover-7B\n\n- Tokens, after filtering: 1.35T', [("tokens", 1.35e+12)], []),
        ('# Plover-7B\n\n- Wall-clock time, restarts included: 13.5 days', [("wall_clock", 324 * HOUR)], []),
        ('# Plover-7B\n\n- Energy, measured at the rack: 87.9 MWh', [("energy", 8.79e+07)], []),
        ('# Plover-7B\n\n- GPUs (all of one kind): 384', [("gpus", 384)], []),
        ('# Plover-7B\n\n- Steps, warm-up included: 120,000', [("steps", 120000)], []),
        ('# Plover-7B\n\n- Learning rate, at its peak: 3e-4', [("learning_rate", 0.0003)], []),
        ('# Plover-7B\n\n- Sequence length, in tokens: 4,096', [("seq_len", 4096)], []),
        ('# Plover-7B\n\n- Emissions, location-based: 54 t CO2e', [("carbon", 54)], []),
        ('# Plover-7B\n\n- Batch size, in sequences: 1,024', [("global_batch", 1024)], []),
        ('# Plover-7B\n\n[^1]: Parameters, embeddings included: 7.9 billion.', [("parameters", 7.9e+09)], []),
    ],
    "a key ends in its unit": [
        (
            '{"n_gpus": 32, "wall_clock_hours": 141.5, "gpu_hours": 4528, "energy_kwh": 2091.9,'
            ' "grid_gco2e_per_kwh": 233, "emissions_kgco2e": 487.4}',
            [("gpus", 32), ("wall_clock", 141.5 * HOUR), ("gpu_hours", 4528), ("energy", 2.0919e+06), ("carbon_intensity", 0.233),
             ("carbon", 0.4874)], [],
        ),
        (
            '```json\n{\n  "gpus": 64,\n  "train_hours": 200,\n  "energy_mwh": 9.2,\n  "pue": 1.1,\n '
            ' "kgco2_per_kwh": 0.3\n}\n```',
            [("gpus", 64), ("wall_clock", 200 * HOUR), ("energy", 9.2e+06), ("carbon_intensity", 0.3)], [],
        ),
        (
            'num_gpus: 64\ntraining_time_h: 200\nenergy_kwh: 9200\ncarbon_intensity_g_per_kwh: 300\nco2_kg:'
            ' 2760\n',
            [("gpus", 64), ("wall_clock", 200 * HOUR), ("energy", 9.2e+06), ("carbon_intensity", 0.3), ("carbon", 2.76)], [],
        ),
        (
            '{\n "name": "plover",\n "parameters": 1340000000,\n "tokens_seen": 260000000000,\n'
            ' "duration_hours": 141.5,\n "power_per_gpu_w": 385\n}',
            [("parameters", 1.34e+09), ("tokens", 2.6e+11), ("wall_clock", 141.5 * HOUR), ("gpu_power", 385)], [],
        ),
        (
            'world_size = 64\nmax_steps = 120000\nglobal_batch_size = 512\nseq_length = 4096\ntotal_hours ='
            ' 150.5\n',
            [("gpus", 64), ("steps", 120000), ("global_batch", 512), ("seq_len", 4096), ("wall_clock", 150.5 * HOUR)], [],
        ),
        (
            '{"model": "plover", "gpu_count": 256, "gpu_type": "H100", "runtime_days": 9,'
            ' "tokens_per_sec_per_gpu": 11000, "mfu": 0.41}',
            [("gpus", 256), ("wall_clock", 9 * DAY), ("tokens_per_second_per_gpu", 11000), ("mfu", 0.41)], [],
        ),
        (
            'run:\n  gpus: 64\n  hours: 200\n  cost_usd: 25600\n  price_per_gpu_hour_usd: 2.0\n',
            [("gpus", 64), ("wall_clock", 200 * HOUR), ("cost", 25600), ("price", 2)], [],
        ),
        (
            '{"energy_consumed": 2091.9, "energy_unit": "kWh", "emissions_kg": 487.4, "duration_s": 509400,'
            ' "gpu_count": 32}',
            [("wall_clock", 141.5 * HOUR), ("gpus", 32)], [],
        ),
        (
            '{\n"node_count": 8,\n"gpus_per_node": 8,\n"elapsed_hours": 120,\n"step_time_s":'
            ' 2.4,\n"tflops_per_gpu": 410\n}',
            [("nodes", 8), ("gpus_per_node", 8), ("wall_clock", 5 * DAY), ("step_time", 2.4), ("flops_per_second_per_gpu", 4.1e+14)], [],
        ),
        (
            '"grid_intensity_gco2_kwh": 410\n"total_energy_mwh": 12\n"gpu_hours_total": 24000\n',
            [("carbon_intensity", 0.41), ("energy", 1.2e+07), ("gpu_hours", 24000)], [],
        ),
    ],
    "what is not the run's is set aside": [
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs.'
            ' Multiply it out and you get 221,184 GPU-hours.',
            [("gpu_hours", 221184)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. PyTorch'
            ' reported an MFU of 38%.',
            [("mfu", 0.38)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. Our'
            ' profiler puts MFU at 41%.',
            [("mfu", 0.41)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. If you'
            ' do the multiplication, that is 221,184 GPU-hours.',
            [("gpu_hours", 221184)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. Taken'
            ' together, this gives you 221,184 GPU-hours.',
            [("gpu_hours", 221184)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. Before'
            ' that, three launches crashed. They cost another 9,000 GPU-hours, which I do not count.',
            [], [("gpu_hours", 9000)],
        ),
        (
            "# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. I"
            " managed to crash two launches. That cost another 140 GPU-hours and $349. I don't count them as"
            " part of the run.",
            [], [("gpu_hours", 140), ("cost", 349)],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs.'
            ' Megatron logs show 41% MFU.',
            [("mfu", 0.41)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. It'
            ' lasted for 18 days, which is longer than you would expect.',
            [("wall_clock", 18 * DAY)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. The'
            ' plan foresaw 1,024 GPUs for 22 days, 540,672 GPU-hours in the budget. None of this happened.',
            [], [("gpus", 1024), ("wall_clock", 22 * DAY), ("gpu_hours", 540672)],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. It took'
            ' 18 days. The proposal had foreseen a 65B model. With 1,024 H100s we would have been done after 22'
            ' days; the budget read 540,672 GPU-hours.',
            [], [("gpus", 1024), ("wall_clock", 22 * DAY), ("gpu_hours", 540672)],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. The'
            ' first attempt went off the rails after 31 hours and was thrown away. 9,920 GPU-hours, $19,344.',
            [], [("gpu_hours", 9920), ("cost", 19344), ("wall_clock", 31 * HOUR)],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. Storage'
            ' cost $61,600, salaries $400,000.',
            [], [("cost", 61600), ("cost", 400000)],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs. On'
            ' eight GPUs this would keep you busy for 250 days.',
            [], [("gpus", 8), ("wall_clock", 250 * DAY)],
        ),
    ],
    "a slash joins two settings": [
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| Setting | Value |\n|---|---|\n| Tensor / pipeline | 4 / 2 |',
            [("tensor", 4), ("pipeline", 2)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| | I | II |\n|---|---|---|\n| GPUs | 64 | 128 |\n| Hours | 200 | 50 |\n| TP / PP | 1 / 1'
            ' | 8 / 2 |',
            [("tensor", 8), ("pipeline", 2), ("gpus", 64), ("gpus", 128)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| Setting | Value |\n|---|---|\n| Layers / hidden / heads | 32 / 4096 / 32 |',
            [("layers", 32), ("hidden", 4096), ("heads", 32)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| TP/PP/DP | 4/2/64 |\n|---|---|\n| Seed | 1 |',
            [("tensor", 4), ("pipeline", 2), ("data_parallel", 64)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| Batch / micro-batch | 1024 / 4 |\n|---|---|\n| Seed | 1 |',
            [("global_batch", 1024), ("microbatch", 4)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| Nodes / GPUs | 64 / 512 |\n|---|---|\n| Seed | 1 |',
            [("nodes", 64), ("gpus", 512)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n- Nodes / GPUs: 64 / 512',
            [("nodes", 64), ("gpus", 512)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| Steps / warm-up steps | 120k / 2k |\n|---|---|\n| Seed | 1 |',
            [("steps", 120000), ("warmup_steps", 2000)], [],
        ),
        (
            '# Plover-7B\n\nPlover-7B has 7B parameters and was trained on 2T tokens with 512 H100 GPUs for 18'
            ' days.\n\n| window | 8,192 |\n|---|---|\n| sequences in a batch | 480 |',
            [("seq_len", 8192), ("global_batch", 480)], [],
        ),
    ],
}  # fmt: skip
"""Texts by kind, each with figures that it states and figures that are not the run's."""


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_read_by_what_is_around_them(kind: str) -> None:
    wrong = {}
    for text, own, never in KINDS[kind]:
        paper = read_paper(text)
        found = [(claim.quantity, claim.value) for run in paper.runs for claim in run.claims]
        missed = [
            one
            for one in own
            if not any(one[0] == name and value == pytest.approx(one[1], rel=0.012) for name, value in found)
        ]
        taken = [
            one
            for one in never
            if any(one[0] == name and value == pytest.approx(one[1], rel=0.003) for name, value in found)
        ]
        accused = ["contradicted"] if check_paper(paper).verdict == "contradicted" else []
        if missed or taken or accused:
            wrong[text] = (missed, taken, accused)
    assert not wrong


APART = {
    "two sizes": (
        "We trained two sizes. The smaller has 1.1B parameters and was trained on 32 A100 GPUs. It took 8 days, and 6,144 GPU-hours. The "
        "larger, with 6.7B parameters, needed 128 GPUs of the same kind and 24 days, which is 73,728 GPU-hours. Both read 400B tokens.",
        [{("gpus", 32), ("wall_clock", 8 * DAY), ("gpu_hours", 6144)}, {("gpus", 128), ("wall_clock", 24 * DAY), ("gpu_hours", 73728)}],
    ),
    "versions with names": (
        "Crane comes in two versions. Crane Base, with 3B parameters, was trained on 64 H100 GPUs; Crane Plus, with 11B, on 256. Base "
        "finished in 9 days and Plus in 16. We count 13,824 GPU-hours for Base and 98,304 for Plus. Both saw 1T tokens.",
        [{("parameters", 3e9), ("gpus", 64), ("wall_clock", 9 * DAY), ("gpu_hours", 13824)},
         {("parameters", 11e9), ("gpus", 256), ("wall_clock", 16 * DAY), ("gpu_hours", 98304)}],
    ),
    "two machines": (
        "To compare machines we trained the same 2.8B model twice on 300B tokens. On 64 TPU v4 chips it took 7.9 days; on 64 A100 GPUs "
        "8.6. This corresponds to 12,134 chip-hours and 13,210 GPU-hours. MFU was 50% on the TPUs and 46% on the GPUs.",
        [{("wall_clock", 7.9 * DAY), ("gpu_hours", 12134), ("mfu", 0.5)}, {("wall_clock", 8.6 * DAY), ("gpu_hours", 13210), ("mfu", 0.46)}],
    ),
    "two groups": (
        "In Bergen 256 H100 were available for 20 days, which makes 122,880 GPU-hours. In Ghent they had 512 A100 for 24 days, or 294,912 "
        "GPU-hours. Bergen reports an MFU of 40.1%. For Ghent the figure is 43.2%.",
        [{("gpus", 256), ("wall_clock", 20 * DAY), ("gpu_hours", 122880), ("mfu", 0.401)},
         {("gpus", 512), ("wall_clock", 24 * DAY), ("gpu_hours", 294912), ("mfu", 0.432)}],
    ),
    "teacher and student": (
        "The teacher is our own Heron-30B, which took 512 H100 GPUs 21 days (258,048 GPU-hours). From it we distil Heron-3B on 64 H100 "
        "GPUs in 6 days, that is 9,216 GPU-hours. The teacher had read 2T tokens; the student reads only 400B.",
        [{("gpus", 512), ("gpu_hours", 258048), ("tokens", 2e12)}, {("gpus", 64), ("gpu_hours", 9216), ("tokens", 4e11)}],
    ),
}  # fmt: skip
"""Texts of two runs, with figures that one run has and the other has not."""


@pytest.mark.parametrize("kind", APART)
def test_runs_are_told_apart(kind: str) -> None:
    text, expected = APART[kind]
    paper = read_paper(text)
    found = [{(claim.quantity, round(claim.value, 4)) for claim in run.claims} for run in paper.runs]
    for own, theirs in (expected, expected[::-1]):
        assert any(own <= run and not (theirs - own) & run for run in found), found
    assert check_paper(paper).verdict != "contradicted"


OWN_ROW = r"""
\begin{tabular}{lrrr}
 & Params & Tokens & GPU-hours \\
\midrule
Kestle-3B & 3.0B & 1.0T & 62,000 \\
Quoin-2.7B & 2.7B & 420B & 41,500 \\
\textbf{Plover-4B} & 3.9B & 1.2T & 16,128 \\
\end{tabular}
"""


def test_the_row_in_bold_type_is_ours() -> None:
    (run,) = read_paper(f"Plover-4B is compared with earlier models.\n{OWN_ROW}").runs
    found = {claim.quantity: claim.value for claim in run.claims}
    assert (found["parameters"], found["tokens"], found["gpu_hours"]) == (3.9e9, 1.2e12, 16_128)
