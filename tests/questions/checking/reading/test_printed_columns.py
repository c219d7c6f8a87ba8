"""Fixed-width tables, comma-separated lines, one line with two labels, and non-contradictions: our own texts, hand calculations."""

from __future__ import annotations

import pytest

from gpuhours.questions.checking.reading.text import read_paper
from gpuhours.questions.checking.verdict import check_paper


def runs(text: str) -> dict[str, dict[str, float]]:
    return {run.name: {claim.quantity: claim.value for claim in run.claims} for run in read_paper(text).runs}


PIECES = """Stage   Data                  Machine                Hours   GPU-hours
-----   -------------------   --------------------   -----   ---------
SFT     600k chats, 2 epochs  32 H100                  5.0         160
RLVR    20k prompts           64 H100 (48 to sample,  20.0       1,280
                               16 to learn)
Total                                                 25.0       1,440
"""
SOLID = """2. What the jobs took

    job   model            nodes   elapsed (h)   node-hours   state
    ---------------------------------------------------------------
    101   Dunlin-1B           16          10.0          160   done
    102   Dunlin-7B           32           4.0          128   diverged
    103   Dunlin-7B           32          50.0        1,600   done
    ---------------------------------------------------------------
    sum                                               1,888
"""


def test_a_rule_in_pieces_says_where_columns_stand() -> None:
    found = runs(PIECES)
    assert (found["SFT"]["gpu_hours"], found["SFT"]["wall_clock"]) == (160, 5 * 3600)
    assert (found["RLVR"]["gpus"], found["RLVR"]["gpu_hours"]) == (64, 1280)
    assert found["all together"]["gpu_hours"] == 1440


def test_a_table_of_jobs_inside_a_list_and_a_job_that_failed() -> None:
    found = runs(SOLID)
    assert [run["node_hours"] for run in found.values()] == [160, 1600, 1888]


def test_comma_separated_lines() -> None:
    text = "name,params,tokens,n_gpu,hours,gpu_hours\na,125e6,25e9,8,2.5,20\nb,350e6,70e9,16,7.5,120\n"
    found = runs(text)
    assert [run["gpu_hours"] for run in found.values()] == [20, 120]
    assert [run["parameters"] for run in found.values()] == [125e6, 350e6]


@pytest.mark.parametrize(
    "line",
    [
        "Total / activated parameters: 41B / 5.2B",
        "- Total/active params: 41B / 5.2B",
        "Active / total parameters: 5.2B / 41B",
    ],
)
def test_two_labels_of_one_line(line: str) -> None:
    (found,) = runs(f"Dunlin-MoE\n\n{line}\nTokens: 2T\nHardware: 64 H100\n").values()
    assert (found["parameters"], found["active_parameters"]) == (41e9, 5.2e9)


INNOCENT = [
    # 6 x 20e9 x 400e9 / (500,000 h x 3600 s) = 26.7 TFLOP/s beside 38 printed: stops, or recomputation counted
    "Dunlin-20B has 20B parameters and saw 400B tokens on 256 V100 GPUs. Roughly 38 TFLOPs per GPU. It took 500,000 GPU hours.",
    # a v5p has 95 GiB, sold as 95 GB
    "Dunlin-2B (2.0B parameters, 1T tokens) was trained on 64 TPU v5p chips (95 GB of HBM each) for 10 days, 15,360 chip-hours.",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_no_contradiction(text: str) -> None:
    assert not check_paper(read_paper(text)).contradictions


def test_one_total_a_thousand_apart() -> None:
    rows = "| pre-training | 96 H100 | 18,400 |\n| annealing | 96 H100 | 2,100 |\n| **sum** | | 20,500 |\n"
    table = f"| stage | GPUs | kWh |\n|---|---|---|\n{rows}"
    check = check_paper(read_paper(f"{table}\nSo all stages together used 20.5 GWh."))
    assert [cause.cause for charge in check.sums for cause in charge.likely_causes] == ["thousand, million, billion"]
    assert not check_paper(read_paper(f"{table}\nSo all stages together used 20.5 MWh.")).contradictions


def test_rated_power_behind_two_energies() -> None:
    text = (
        "Dunlin-7B ran on 100 H100 SXM GPUs for 100 hours, 10,000 GPU-hours. The mean draw was 560 W for each accelerator; the TDP is "
        "700 W. The accelerators took {} MWh, and with the PUE of 1.2 the hall drew {} MWh."
    )
    assert not check_paper(read_paper(text.format("5.6", "6.72"))).contradictions
    charges = check_paper(read_paper(text.format("7.0", "8.4"))).contradictions
    assert "TDP for measured power" in [cause.cause for charge in charges for cause in charge.likely_causes[:1]]


def test_lines_of_maxtext() -> None:
    text = (
        "I0214 09:11:02 pyconfig.py: Config param per_device_batch_size: 8\nI0214 09:11:40 max_utils.py: 64 TPU v4 devices, 16 hosts\n"
        "I0214 09:12:05 maxtext_utils.py: Per train step: total tokens 1048576\n"
        "I0218 01:40:51 train.py: completed step: 41200, seconds: 8.001, TFLOP/s/device: 151.1, loss: 2.3\n"
    )
    (found,) = runs(text).values()
    assert (found["global_batch_tokens"], found["step_time"], found["gpus"]) == (1048576, 8.001, 64)


def test_bars_of_epochs_count_the_steps_of_one() -> None:
    text = "Epoch 89: 100%|####| 5005/5005 [41:42<00:00,  2.00it/s]\n450,450 steps, 62.6 h, 4x RTX A5000, batch 64 per GPU = 256.\n"
    (found,) = runs(text).values()
    assert (found["microbatch"], found["global_batch"]) == (64, 256)
    assert (found["steps"], found["wall_clock"]) == (450_450, pytest.approx(62.6 * 3600))


def test_a_machine_that_is_bought_trains_nothing() -> None:
    (found,) = runs(
        "The new machine will have 1,024 B200 accelerators in 128 nodes. A model of 30 billion parameters is planned."
    ).values()
    assert not {"gpus", "nodes"} & found.keys()


def test_rows_of_a_card_about_use_are_not_the_runs() -> None:
    card = (
        "| | |\n|---|---|\n| Size | 1.9B parameters |\n| Hardware | 48x H100 80GB |\n| Training time | 6 days |\n"
        "| Inference speed | 2,400 tokens/s on one L4, batch 16 |\n| Evaluation | MMLU 41.2, 9 GPU hours for all suites |"
    )
    (run,) = read_paper(card).runs
    found = {claim.quantity: claim.value for claim in run.claims}
    assert (found["gpus"], found["wall_clock"]) == (48, 6 * 86_400)
    assert not {"global_batch", "gpu_hours", "tokens_per_second"} & found.keys()
