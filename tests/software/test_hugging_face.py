"""Hugging Face transformers as a stack: launches counted by the profiler, bytes computed by hand, and measured steps."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpuhours.architecture.model_spec import read_model
from gpuhours.data import Data
from gpuhours.hardware.accelerators import load_accelerator
from gpuhours.memory import memory
from gpuhours.questions.validating.described import predict_described, read_described
from gpuhours.questions.validating.rows import described_runs
from gpuhours.run.resolve import resolve
from gpuhours.run.spec import Run, from_dict
from gpuhours.software.matching import profile_in
from gpuhours.software.profile import load_software
from gpuhours.step import step
from gpuhours.step.compute import adapter_bytes, layer_compute
from gpuhours.step.cpu_overhead import attention_calls, kernel_launches, layer_kernels
from gpuhours.workload import Workload

LLAMA = {"layers": 16, "hidden": 2048, "heads": 32, "kv_heads": 8, "ffn_hidden": 8192, "vocab": 128256, "tied": True}
QWEN3 = {
    "layers": 28,
    "hidden": 1024,
    "heads": 16,
    "kv_heads": 8,
    "head_dim": 128,
    "ffn_hidden": 3072,
    "vocab": 151936,
    "qk_norm": "head",
}
GPT2 = {
    "layers": 24, "hidden": 1024, "heads": 16, "ffn_hidden": 4096, "vocab": 50257, "gated": False, "activation": "written-gelu",
    "norm": "layer", "attention_bias": "all", "mlp_bias": True, "positions": "learned", "max_positions": 1024, "dropout": True,
    "code_steps": ["joint-heads"],
}  # fmt: skip
PYTHIA = {
    "layers": 24, "hidden": 2048, "heads": 16, "ffn_hidden": 8192, "vocab": 50304, "gated": False, "norm": "layer",
    "attention_bias": "all", "mlp_bias": True, "parallel_residual": True, "rotary_share": 0.25, "code_steps": ["joint-heads"],
}  # fmt: skip
SEVEN = ["q", "k", "v", "o", "gate", "up", "down"]


def workload(model, *, software="huggingface", state="pure", tokens=2048, gpus=1, samples=4, **layout) -> Workload:
    """One step on H100."""
    run = Run.model_validate({
        "model": {"kind": "decoder", **model},
        "data": {"seq_len": tokens},
        "training": {"global_batch": samples, "dtype": "bf16", "state": state},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": gpus},
        "layout": {"microbatch": samples // gpus, "recompute": "none", "sharding": "none", **layout},
        "software": software,
    })  # fmt: skip
    return resolve(run).workload


@pytest.mark.parametrize(
    ("case", "model", "state"),
    [
        ("tiny-llama1b", LLAMA, "pure"),
        ("tiny-llama1b-amp", LLAMA, "amp"),
        ("tiny-qwen3_06b", QWEN3, "pure"),
        ("tiny-gpt2m", GPT2, "pure"),
        ("tiny-gpt2m-amp", GPT2, "amp"),
        ("tiny-pythia14b", PYTHIA, "pure"),
    ],
)
def test_a_layers_kernels_are_those_that_the_profiler_counted(case, model, state):
    with (Path(__file__).parents[1] / "measurements" / "h100_launches.csv").open() as table:
        rows = list(csv.DictReader(table))
    counted = next(row for row in rows if row["case"] == case and row["card"] == "h100")
    layers = int(counted["layers"])
    asked = workload(model, state=state, tokens=32, samples=1)
    forward, backward = layer_kernels(asked.model.stacks[0], asked)
    assert forward == pytest.approx((int(counted["forward_launches"]) - 15) / layers, rel=0.1)
    assert backward == pytest.approx((int(counted["backward_launches"]) - 15) / layers, rel=0.1)


def test_a_step_is_never_shorter_than_its_launches():
    for tokens in (16, 128, 1024, 8192):
        asked = workload(LLAMA, tokens=tokens, samples=1)
        launching, _ = kernel_launches(asked.model.stacks[0], asked)
        assert float(step(asked).time) >= 16 * float(launching)


def test_a_small_step_costs_its_launches_whatever_the_batch():
    small, double = (float(step(workload(LLAMA, tokens=32, samples=n)).time) for n in (1, 2))
    assert double == pytest.approx(small, rel=0.02)


def test_adapters_in_fp32_cast_what_they_read_and_write():
    """The 7 GEMMs of 8 B: 23,552 outputs at 25 B and 20,480 inputs at 8.7 B per token; under autocast 9.7 and 14.5."""
    model = {**LLAMA, "trainable": "lora", "rank": 16, "targets": SEVEN}
    for state, expected in (("pure", 25 * 23552 + 8.7 * 20480), ("amp", 9.7 * 23552 + 14.5 * 20480)):
        asked = workload(model, state=state)
        forward, _ = adapter_bytes(asked.model.stacks[0], np.asarray(1.0), asked)
        assert float(forward) == pytest.approx(expected)


@pytest.mark.parametrize(("state", "wide", "kernel"), [("pure", "fp32", "unfused"), ("amp", "bf16", "cudnn")])
def test_between_quantised_gemms_all_is_fp32_but_for_what_autocast_narrows(state, wide, kernel):
    """peft's prepare_model_for_kbit_training: grouped keys in fp32 have no fused kernel; autocast narrows attention and the head."""
    run = Run.model_validate({
        "model": {"kind": "decoder", **LLAMA, "trainable": "lora", "rank": 8, "targets": SEVEN}, "data": {"seq_len": 512},
        "training": {"global_batch": 1, "dtype": "nf4", "state": state}, "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 1},
        "layout": {"microbatch": 1, "recompute": "none", "sharding": "none"}, "software": "huggingface",
    })  # fmt: skip
    asked = resolve(run).workload
    core = asked.model.stacks[0].block.attention[0]
    assert (asked.precision.element, asked.wide) == (4, wide)
    assert asked.kernel_of(core) == kernel
    assert asked.kernel_of(replace(core, padded=True)) == "cudnn", "keys are repeated where there is a mask"


def test_one_key_head_broadcast_has_no_fused_kernel():
    falcon = workload({**LLAMA, "kv_heads": 1, "broadcast_keys": True})
    multi_query = workload({**LLAMA, "kv_heads": 1})
    kernels = [one.kernel_of(one.model.stacks[0].block.attention[0]) for one in (falcon, multi_query)]
    assert kernels == ["unfused", "cudnn"]
    assert float(step(falcon).time) > 1.5 * float(step(multi_query).time)


def test_fsdp2_casts_weights_before_layers_use_them():
    """Without autocast inside, GPT-2 moves and keeps less: 30.5 GB measured for XL, 39.2 with autocast."""
    policy, autocast = (
        workload(GPT2, software=name, state="amp", gpus=2, samples=8, sharding="zero3")
        for name in ("huggingface-fsdp2", "huggingface")
    )
    assert (policy.precision.autocast, autocast.precision.autocast) == (False, True)
    assert policy.precision.weights == 4
    assert float(memory(policy).allocated) < 0.9 * float(memory(autocast).allocated)


SINGLE = Path(__file__).parents[1] / "measurements" / "h100_eager_operators.csv"
PIECES = {
    "rms-norm": "to_fp32 pow32 mean32 rsqrt_small mul_col32 to_bf16 mul_row", "residual": "add", "layer-norm": "layer_norm",
    "dropout": "dropout", "gelu": "gelu", "swiglu": "silu add", "erf-gelu": "silu gelu silu silu add", "layer-scale": "mul_row",
    "quick-gelu": "silu silu add", "rotary": "mul_head neg_half cat_half mul_head add",
}  # fmt: skip
"""Kernels of an operator's forward pass, counted by PyTorch's dispatcher in transformers 5.17, by the kind of kernel measured."""


@pytest.mark.parametrize("operator", PIECES)
def test_operators_move_what_their_kernels_do_one_by_one(operator):
    """Bytes at the 2.78 TB/s of a copy, which is why a profile's figures are known without its measured steps."""
    rows = [row for row in csv.DictReader(SINGLE.read_text().splitlines()) if row["cols"] == "4096"]
    each = {row["op"]: 2.78e12 * float(row["time_us"]) * 1e-6 / (int(row["rows"]) * int(row["cols"])) for row in rows}
    software = load_software("huggingface")
    moved = sum(each[kernel] for kernel in PIECES[operator].split())
    assert software.pointwise.operators[operator].forward == pytest.approx(moved, rel=0.15)
    launched = len(PIECES[operator].split())
    assert software.host.kernels.operators[operator].forward in (launched, launched + 1, 2 * launched)


def test_zero3_hooks_cost_by_module_and_pass():
    """Nine modules with weights in a llama layer: 2 passes, or 3 with recomputation."""
    each = load_software("huggingface-deepspeed").host.kernels.module
    for recompute, passes in (("none", 2), ("full", 3)):
        layer = workload(LLAMA, software="huggingface-deepspeed", gpus=2, sharding="zero3", recompute=recompute)
        alone = layer.with_layout(layer.layout.model_copy(update={"sharding": np.asarray(0)}))
        stack = layer.model.stacks[0]
        hooks = float(kernel_launches(stack, layer)[0]) - float(kernel_launches(stack, alone)[0])
        assert hooks == pytest.approx(passes * 9 * each)


def test_experts_as_modules_of_their_own_make_zero3_wait_for_each():
    """16 A800, Qwen3-30B-A3B, full recomputation, one sequence of 8,192 per GPU: 91.2 s measured under ZeRO-3."""
    run = Run.model_validate({
        "model": "qwen3-30b-a3b", "data": {"seq_len": 8192},
        "training": {"global_batch": 16, "dtype": "bf16", "state": "mixed"},
        "hardware": {"accelerator": "a800-sxm-80gb", "gpus": 16},
        "layout": {"microbatch": 1, "recompute": "full", "sharding": "zero3"}, "software": "llama-factory",
    })  # fmt: skip
    assert float(step(resolve(run).workload).time) == pytest.approx(91.2, rel=0.15)


def test_qwens_vision_tower_calls_attention_for_every_window():
    """8 frames of 224 pixels: 16 windows in 28 layers and 4 images in 4 layers, 464 calls counted."""
    tower = {
        "kind": "vision", "layers": 32, "hidden": 1280, "heads": 16, "ffn_hidden": 3420, "patch": 14, "tubelet": 2,
        "class_token": False, "pre_norm": False, "gated": True, "image_size": 224,
    }  # fmt: skip
    run = Run.model_validate({
        "model": tower, "data": {"frames": 8, "resolution": 224}, "training": {"global_batch": 1, "state": "pure"},
        "hardware": {"accelerator": "h100-sxm-80gb", "gpus": 1}, "layout": {"microbatch": 1}, "software": "huggingface",
    })  # fmt: skip
    asked = resolve(run).workload
    calls = sum(float(stack.layers * (1 + attention_calls(stack, asked))) for stack in asked.model.stacks)
    assert calls == 464


@pytest.mark.parametrize(
    ("words", "profile"),
    [
        ("hugging face transformers", "huggingface"), ("trl 0.12", "huggingface-trainer"), ("trl 1.16, 2026", "huggingface-trl"),
        ("axolotl", "huggingface-trainer"),
        ("trl with deepspeed zero-3 2025", "huggingface-deepspeed"), ("llama-factory 0.9", "llama-factory"),
        ("ms-swift", "llama-factory"), ("unsloth", "unsloth"), ("trl with liger", "huggingface-liger"), ("peft on pytorch", "huggingface"),
        ("nanogpt", "torch-compile"), ("pytorch ddp", "torch-eager"),
    ],
)  # fmt: skip
def test_frameworks_name_what_they_run_on(words, profile):
    assert profile_in(words) == profile


@pytest.mark.parametrize("name", ["transformers", "peft", "accelerate", "huggingface", "hf"])
def test_names_of_the_stack(name):
    assert load_software(name).name == "huggingface"


@pytest.mark.parametrize("name", ["trainer", "trl", "axolotl"])
def test_a_trainer_reads_the_loss_back(name):
    """189.5 ms with Trainer, 180.6 with a plain loop: its waiting time is not hidden."""
    by_trainer, plain = (float(step(workload(LLAMA, software=one)).time) for one in (name, "huggingface"))
    assert by_trainer - plain == pytest.approx(9e-3)


def test_frozen_ends_are_wide_beside_four_bit_weights():
    """llama 8B with QLoRA held 8.4 GB before a step: 6.98e9 4-bit weights, 1.05e9 embedding and head weights in fp32, adapters of 42e6."""
    shape = {"layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn_hidden": 14336, "vocab": 128256}
    asked = workload({**shape, "trainable": "lora", "rank": 16, "targets": SEVEN}, state="amp", samples=2)
    four = replace(asked, precision=asked.software.as_run(replace(asked.precision, dtype="nf4")))
    assert float(memory(four).parts["weights"]) == pytest.approx(8.1e9, rel=0.03)


def test_more_bandwidth_shortens_eager_kernels_by_half():
    """The same step with different kernels: 62.8 ms on H100, 51.9 on H200, whose memory is 1.43 times as fast."""
    from gpuhours.step.compute import issue_bound

    asked = workload(LLAMA)
    cluster = replace(asked.cluster, accelerator=load_accelerator("h200-sxm-141gb"))
    assert issue_bound(asked) == 1.0
    ratio = 1.43 / issue_bound(replace(asked, cluster=cluster))
    assert ratio == pytest.approx(62.8 / 51.9, rel=0.05)


def test_a_slower_host_launches_slower():
    usual = load_software("huggingface").host.kernels
    twice = usual.on_host(2 * usual.linear)
    assert twice.each.backward == pytest.approx(2 * usual.each.backward)
    assert twice.update == pytest.approx(2 * usual.update)
    assert (twice.gap, twice.waits) == (usual.gap, usual.waits)


@pytest.mark.parametrize(
    ("model", "length", "samples", "took"), [("llama-3.2-3b", 1024, 8, 208.1), ("llama-3.2-1b", 4096, 4, 157.8)]
)
def test_gemms_among_light_kernels_run_at_a_higher_clock(model, length, samples, took):
    """GEMMs of a profiled step on H200 in ms; run alone they take a tenth longer."""
    run = {
        "model": model, "data": {"seq_len": length},
        "training": {"global_batch": samples, "dtype": "bf16", "state": "pure"},
        "hardware": {"accelerator": "h200-sxm-141gb", "gpus": 1},
        "layout": {"microbatch": samples, "recompute": "none"}, "software": "huggingface",
    }  # fmt: skip
    asked = resolve(from_dict(run)).workload
    alone = replace(asked, software=asked.software.model_copy(update={"clock_gain": 0.0}))
    light, heavy = (float(step(one).parts["GEMMs"]) for one in (asked, alone))
    assert light == pytest.approx(took * 1e-3, rel=0.04)
    assert heavy > 1.06 * light


def test_experts_are_as_wide_as_their_weights_under_autocast():
    """A small Mixtral took 351 ms under autocast and 66 in bf16 (H200), as autocast does not handle torch._grouped_mm."""
    shape = {"layers": 8, "hidden": 1024, "heads": 16, "kv_heads": 4, "ffn_hidden": 3584, "vocab": 32000}
    experts = {"count": 8, "top_k": 2}
    run = {
        "model": {"kind": "decoder", **shape, "experts": experts}, "data": {"seq_len": 2048},
        "training": {"global_batch": 4, "state": "amp"}, "hardware": {"accelerator": "h200-sxm-141gb", "gpus": 1},
        "layout": {"microbatch": 4, "recompute": "full"},
        "software": "huggingface",
    }  # fmt: skip
    assert float(step(resolve(from_dict(run)).workload).time) == pytest.approx(0.351, rel=0.15)


def test_a_stated_launch_moves_what_the_host_bounds_alone():
    def seconds(batch, **hardware):
        machine = {"accelerator": "h200-sxm-141gb", "gpus": 1, **hardware}
        run = {
            "model": "qwen2.5-0.5b", "data": {"seq_len": 512}, "training": {"global_batch": batch, "state": "pure"},
            "hardware": machine, "layout": {"microbatch": batch}, "software": "huggingface",
        }  # fmt: skip
        return float(step(resolve(from_dict(run)).workload).time)

    assert seconds(1, launch="46 us") > 1.2 * seconds(1)
    assert seconds(1, launch="15 us") < 0.8 * seconds(1)
    assert seconds(64, launch="46 us") == pytest.approx(seconds(64))


def _judged():
    runs = read_described(next(path for path in described_runs() if path.stem == "hugging-face"))
    return runs, predict_described(runs)


def test_measured_steps_are_met_by_family_and_variant():
    runs, found = _judged()
    time = {
        run.row.word("id"): abs(one.time / run.row.number("step_time_s") - 1)
        for run, one in zip(runs, found, strict=True)
    }
    assert np.mean(list(time.values())) < 0.065
    first = [error for name, error in time.items() if name in FIRST]
    assert np.mean(first) < 0.045
    groups = {
        "llama": 0.07,
        "gemma": 0.06,
        "gpt2": 0.05,
        "opt": 0.05,
        "t5": 0.08,
        "lora": 0.07,
        "videomae": 0.07,
    }
    for word, most in groups.items():
        errors = [error for name, error in time.items() if word in name and "qlora" not in name]
        assert np.mean(errors) < most, (word, errors)


def test_measured_memory_is_met():
    runs, found = _judged()
    pairs = [(run.row.number("mem_gib_per_gpu"), one.memory / 2**30) for run, one in zip(runs, found, strict=True)]
    assert np.mean([abs(predicted / held - 1) for held, predicted in pairs if held]) < 0.05


FIRST = {
    "hf-llama1b-s2048-b8-h100", "hf-qwen3-0.6b-s4096-b2-h100", "hf-gemma3-1b-s2048-b4-h100", "hf-gpt2xl-s1024-b4-amp-h100",
    "hf-llama8b-loraall-s4096-b1-gc-h100", "hf-vitl16-b64-amp-h100", "hf-clipl14-b96-amp-h100", "hf-t5large-s512-b16-h100",
    "hf-qwen25vl3b-64f-frozenvit-gc-h100", "hf-ddp-llama1b-s2048-b4-h200", "hf-fsdp2-llama3b-s2048-b4-gc-h200",
}  # fmt: skip
"""Some of the first bench's rows: kinds apart."""


@pytest.mark.parametrize(
    ("stack", "trained", "adapters", "narrow"),
    [
        ("huggingface", "none", "none", "full"), ("huggingface-fsdp2", "none", "none", "full"), ("llama-factory", "full", "full", "full"),
        ("unsloth", "full", "full", "full"), ("torch-eager", "none", "none", "none"), ("megatron-2022", "full", "none", "none"),
    ],
)  # fmt: skip
def test_what_is_computed_again_where_a_run_does_not_say(stack, trained, adapters, narrow):
    """peft uses checkpointing with 4-bit weights; LLaMA-Factory and Unsloth always do."""
    facts = load_software(stack).defaults
    ways = ((False, False), (True, False), (True, True))
    assert [facts.recomputed(adapters=one, narrow=two) for one, two in ways] == [trained, adapters, narrow]


def test_llama_4_runs_every_expert_on_every_token_in_transformers_alone():
    """The file's batched GEMM has the work of all 16 experts: 8 times the time and more of two; Megatron sends each token to one."""
    shape = {
        "layers": 4, "hidden": 2048, "heads": 16, "kv_heads": 4, "vocab": 32000, "code_steps": ["all-experts"],
        "experts": {"count": 16, "top_k": 1, "width": 4096, "shared_width": 4096},
    }  # fmt: skip
    few = {**shape, "experts": {**shape["experts"], "count": 2}}
    for software, least, most in (("huggingface", 3.0, 8.0), ("megatron-core", 0.9, 1.3)):
        many, two = (workload(one, software=software, samples=4) for one in (shape, few))
        ratio = [float(layer_compute(many.as_written(many.model.stacks[0]), many)["GEMMs"].forward)]
        ratio.append(float(layer_compute(two.as_written(two.model.stacks[0]), two)["GEMMs"].forward))
        assert least < ratio[0] / ratio[1] < most


def test_compiled_encoders_write_attention_out_only_if_their_file_makes_a_mask():
    """ViT's file makes a mask, which a compiled model keeps; DINOv2's makes none, and its attention stays fused."""
    tower = {"kind": "vision", "layers": 12, "hidden": 768, "heads": 12, "patch": 14}
    masked, free = (
        Run.model_validate({
            "model": {**tower, "mask_made": made}, "data": {"frames": 1, "resolution": 224},
            "training": {"global_batch": 8, "state": "pure"}, "hardware": {"accelerator": "h200-sxm-141gb", "gpus": 1},
            "layout": {"microbatch": 8}, "software": "huggingface-compile",
        })
        for made in (True, False)
    )  # fmt: skip
    kernels = [
        one.kernel_of(one.model.stacks[0].block.attention[0])
        for one in (resolve(run).workload for run in (masked, free))
    ]
    assert kernels[0] == "unfused" != kernels[1]


SINKS = Path(__file__).parents[1] / "measurements" / "h200_sink_scores.csv"


def test_scores_beside_a_learned_logit_move_what_single_kernels_say():
    """Bytes at copy speed, with what GEMMs lose on rows of s + 1; 9 and 11 are in all unfused attention."""
    figures = load_software("huggingface").pointwise.operators["sink-scores"]
    for row in csv.DictReader(SINKS.read_text().splitlines()):
        ms = {key: float(value) for key, value in row.items()}
        forward = ms["forward_ms"] + ms["gemm_ms"] - ms["gemm_contiguous_ms"]
        backward = ms["both_ms"] - ms["forward_ms"] + ms["transposed_ms"] - ms["transposed_contiguous_ms"]
        assert 4 * forward / ms["copy_ms"] == pytest.approx(9 + figures.forward, rel=0.08)
        assert 4 * backward / ms["copy_ms"] == pytest.approx(11 + figures.backward, rel=0.08)


def test_falcon_and_llama_3_2_vision_hand_attention_a_mask_of_all_pairs():
    """Falcon's file makes its causal mask also where none is needed (``allow_is_causal_skip=False``), Llama 3.2's vision tower one for
    padded tiles: no pair is skipped, and the kernel reads the mask. Measured: 1.24 ms a backward call of 32 heads of 128 at 2 x 2,048."""
    falcon = {"layers": 4, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn_hidden": 16384, "vocab": 65024, "gated": False, "norm": "layer",
              "parallel_residual": True, "norms_per_layer": 1}  # fmt: skip
    made, usual = (workload({**falcon, "code_steps": ["sliced-heads", *more]}) for more in (["made-mask"], []))
    assert float(step(made).parts["attention"]) > 2.5 * float(step(usual).parts["attention"])
    cores = [one for part in read_model({"name": "llama-3.2-11b-vision"}).build(Data(frames=1, resolution=560, text_tokens=64)).stacks
             for one in part.block.attention if part.name == "vision layers"]  # fmt: skip
    assert cores
    assert all(one.padded for one in cores)


def test_compiled_encoders_keep_a_fused_kernel_where_the_run_hands_over_a_mask():
    """transformers makes a mask of all pairs if it is compiled without one, which inductor writes out; a given one goes to a fused kernel
    (ModernBERT base of 1,024 tokens: 63 ms, 16.5 GB; written out it would be 104 and 25)."""
    bert = {"layers": 12, "hidden": 768, "heads": 12, "ffn_hidden": 3072, "vocab": 30522, "gated": False, "norm": "layer",
            "attention_bias": "all", "mlp_bias": True, "causal": False}  # fmt: skip
    hardware, training = (
        {"accelerator": "h200-sxm-141gb", "gpus": 1},
        {"global_batch": 8, "dtype": "bf16", "state": "amp"},
    )
    common = {"model": bert, "training": training, "hardware": hardware, "software": "huggingface-compile"}
    given, made = (
        resolve(from_dict({**common, "data": {"seq_len": 512, "masked": masked}})).workload for masked in (True, False)
    )
    assert given.kernel_of(given.model.stacks[0].block.attention[0]) == given.attention_kernel
    assert made.kernel_of(made.model.stacks[0].block.attention[0]) == "unfused"
