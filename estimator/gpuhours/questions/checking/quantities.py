"""The quantities that a document may state, each with its title, its unit and the range of values it can have."""

from __future__ import annotations

from collections.abc import Mapping

from gpuhours.inputs.durations import DAY as DAY
from gpuhours.inputs.durations import HOUR as HOUR
from gpuhours.inputs.records import dataclass


@dataclass(frozen=True)
class Quantity:
    """One quantity that a document can state.

    ``unit``     unit of the values in JSON: SI, except that counts have their own units and GPU-hours stay GPU-hours
    ``least``, ``most``   a number outside this range is not this quantity, whatever the surrounding words say
    ``exact``    the quantity is a setting that someone chose, so its values are not rounded (512 GPUs, batch 2048)
    ``checked``  whether identities use it; other quantities are shown as read and not tested
    """

    name: str
    title: str
    unit: str = ""
    least: float = 0.0
    most: float = float("inf")
    exact: bool = False
    checked: bool = True
    whole: bool = False
    """Whether values must be whole numbers: degrees, layers, GPUs."""


_ALL = (
    # model
    Quantity("parameters", "parameters", "parameter", 1e5, 1e14),
    Quantity("active_parameters", "active parameters", "parameter", 1e5, 1e14),
    Quantity("active_share", "active share", "", 1e-4, 1.0),
    Quantity("trainable_parameters", "trainable parameters", "parameter", 1e3, 1e14),
    Quantity("language_parameters", "language model", "parameter", 1e5, 1e14),
    Quantity("vision_parameters", "vision encoder", "parameter", 1e5, 1e14),
    Quantity("trainable_share", "trainable share", "", 1e-6, 1.0),
    # training data
    Quantity("tokens", "tokens", "token", 1e6, 1e16),
    Quantity("dataset_tokens", "tokens in the data set", "token", 1e6, 1e16),
    Quantity("text_tokens", "text tokens", "token", 1e6, 1e16),
    Quantity("visual_tokens", "visual tokens", "token", 1e6, 1e16),
    Quantity("dataset_samples", "samples in the data set", "sample", 500, 1e13),
    Quantity("samples", "samples seen", "sample", 500, 1e14),
    Quantity("epochs", "epochs", "epoch", 0.01, 1e5, exact=True),
    Quantity("video_hours", "hours of video", "hour", 1.0, 1e11),
    Quantity("audio_hours", "hours of audio", "hour", 1.0, 1e11),
    Quantity("frame_rate", "frames per second", "frame/second", 0.01, 240, exact=True),
    Quantity("frames_per_clip", "frames per clip", "frame", 1, 1e6, exact=True),
    Quantity("clip_seconds", "seconds per clip", "second", 0.05, 36_000, exact=True),
    Quantity("tokens_per_frame", "tokens per frame", "token/frame", 1, 1e5, exact=True),
    Quantity("tokens_per_sample", "tokens per sample", "token/sample", 1, 1e8),
    Quantity("mask_ratio", "share masked", "", 0.01, 0.99, exact=True),
    Quantity("dataset_bytes", "data set", "byte", 1e6, 1e19),
    # step
    Quantity("seq_len", "sequence length", "token", 8, 2e7, exact=True, whole=True),
    Quantity("global_batch", "global batch", "sample", 1, 5e6, exact=True, whole=True),
    Quantity("global_batch_tokens", "global batch", "token", 1e3, 5e8),
    Quantity("microbatch", "samples per GPU", "sample", 1, 1e5, exact=True, whole=True),
    Quantity("accumulation", "accumulated micro-steps", "", 1, 1e4, exact=True, whole=True),
    Quantity("steps", "steps", "step", 50, 1e9, whole=True),
    Quantity("step_time", "step time", "second", 1e-4, 1e5),
    # machine
    Quantity("gpus", "GPUs", "GPU", 1, 5e6, exact=True, whole=True),
    Quantity("nodes", "nodes", "node", 1, 1e6, exact=True, whole=True),
    Quantity("gpus_per_node", "GPUs per node", "GPU/node", 1, 16, exact=True, whole=True),
    Quantity("tensor", "tensor parallel", "", 1, 1024, exact=True, whole=True),
    Quantity("pipeline", "pipeline parallel", "", 1, 1024, exact=True, whole=True),
    Quantity("context", "context parallel", "", 1, 1024, exact=True, whole=True),
    Quantity("data_parallel", "data parallel", "", 1, 1e6, exact=True, whole=True),
    Quantity("state_per_gpu", "weights and optimiser per GPU", "byte"),
    Quantity("memory_per_gpu", "memory per GPU", "byte", 4e9, 1e12, exact=True),
    # time and work
    Quantity("wall_clock", "wall-clock", "second", 30, 4e8),
    Quantity("steps_per_second", "steps per second", "step/second", 1e-5, 1e4),
    Quantity("epoch_time", "time per epoch", "second", 1, 1e9),
    Quantity("gpu_hours", "GPU-hours", "GPU*hour", 0.01, 1e11),
    Quantity("node_hours", "node-hours", "node*hour", 0.01, 1e11),
    Quantity("goodput", "goodput", "", 0.01, 1.0),
    Quantity("productive_time", "productive time", "second", 30, 7e7),
    Quantity("model_flops", "training compute", "FLOP", 1e12, 1e30),
    Quantity("tokens_per_second", "tokens per second", "token/second", 500, 1e12),
    Quantity("tokens_per_second_per_gpu", "tokens per second and GPU", "token/second/GPU", 0.01, 1e8),
    Quantity("tokens_per_second_per_node", "tokens per second and node", "token/second/node", 0.01, 1e9),
    Quantity("samples_per_second", "samples per second", "sample/second", 1e-4, 1e9),
    Quantity("flops_per_second_per_gpu", "achieved FLOP/s per GPU", "FLOP/second/GPU", 1e10, 3e16),
    Quantity("flops_per_second", "achieved FLOP/s", "FLOP/second", 1e12, 1e22),
    Quantity("peak_flops", "peak FLOP/s per GPU", "FLOP/second/GPU", 1e12, 1e17, checked=False),
    Quantity("mfu", "MFU", "", 0.001, 5.0),
    Quantity("hfu", "HFU", "", 0.001, 5.0),
    Quantity("recompute_ratio", "work with recomputation", "", 1.0, 2.0),
    Quantity("checkpoint_steps", "steps between checkpoints", "step", 1, 1e7, exact=True),
    Quantity("checkpoint_time", "time between checkpoints", "second", 10, 1e7),
    # energy, carbon, money
    Quantity("energy", "energy", "Wh", 1.0, 1e14),
    Quantity("it_energy", "IT energy", "Wh", 1.0, 1e14),
    Quantity("flops_per_energy", "model FLOPs per joule", "GFLOP/joule", 1e-6, 1e6),
    Quantity("gpu_power", "power per GPU", "watt", 10, 5000),
    Quantity("power", "power of the machine", "watt", 100, 1e11),
    Quantity("pue", "PUE", "", 1.0, 3.0),
    Quantity("carbon", "carbon", "tCO2e", 1e-6, 1e8),
    Quantity("carbon_intensity", "carbon intensity", "kgCO2e/kWh", 0.001, 2.0),
    Quantity("carbon_rate", "carbon per GPU-hour", "kgCO2e/GPU/hour", 1e-6, 100),
    Quantity("cost", "cost", "USD", 1, 1e12),
    Quantity("price", "price", "USD/GPU/hour", 0.01, 200),
    Quantity("node_price", "price of a node", "USD/node/hour", 0.01, 5000),
    Quantity("gpu_hours_per_trillion_tokens", "GPU-hours per trillion tokens", "GPU*hour/Ttoken", 1, 1e10),
    # read and shown, but used by no identity
    Quantity("year", "year", "", 1990, 2035, exact=True, checked=False, whole=True),
    Quantity("learning_rate", "learning rate", "", 1e-9, 2, exact=True, checked=False),
    Quantity("final_learning_rate", "final learning rate", "", 0, 10, exact=True, checked=False),
    Quantity("learning_rate_decay", "final share of the learning rate", "", 0, 1, exact=True, checked=False),
    Quantity("warmup_steps", "warm-up steps", "step", 1, 1e7, exact=True, checked=False),
    Quantity("warmup_epochs", "warm-up epochs", "epoch", 0.1, 1000, exact=True, checked=False),
    Quantity("warmup_share", "warm-up share", "", 0, 1, exact=True, checked=False),
    Quantity("warmup_tokens", "warm-up tokens", "token", 1e3, 1e13, exact=True, checked=False),
    Quantity("weight_decay", "weight decay", "", 0, 10, exact=True, checked=False),
    Quantity("momentum", "momentum", "", 0, 1, exact=True, checked=False),
    Quantity("beta1", "beta 1", "", 0, 1, exact=True, checked=False),
    Quantity("beta2", "beta 2", "", 0, 1, exact=True, checked=False),
    Quantity("epsilon", "epsilon", "", 0, 1, exact=True, checked=False),
    Quantity("gradient_clipping", "gradient clipping", "", 0, 1e4, exact=True, checked=False),
    Quantity("dropout", "dropout", "", 0, 1, exact=True, checked=False),
    Quantity("temperature", "temperature", "", 0, 100, exact=True, checked=False),
    Quantity("label_smoothing", "label smoothing", "", 0, 1, exact=True, checked=False),
    Quantity("vocabulary", "vocabulary", "token", 50, 1e7, exact=True, checked=False, whole=True),
    Quantity("resolution", "resolution", "pixel", 8, 16_384, exact=True, checked=False),
    Quantity("patch_size", "patch size", "pixel", 1, 128, exact=True, checked=False),
    Quantity("layers", "layers", "layer", 1, 2000, exact=True, checked=False, whole=True),
    Quantity("encoder_layers", "encoder layers", "layer", 1, 2000, exact=True, checked=False, whole=True),
    Quantity("decoder_layers", "decoder layers", "layer", 1, 2000, exact=True, checked=False, whole=True),
    Quantity("hidden", "hidden size", "", 8, 1e6, exact=True, checked=False, whole=True),
    Quantity("heads", "attention heads", "", 1, 4096, exact=True, checked=False, whole=True),
    Quantity("experts", "experts", "", 1, 1e5, exact=True, checked=False, whole=True),
    Quantity("lora_rank", "adapter rank", "", 1, 1e5, exact=True, checked=False, whole=True),
    Quantity("queries", "learned queries", "", 1, 1e5, exact=True, checked=False, whole=True),
    Quantity("zero_stage", "ZeRO stage", "", 0, 3, exact=True, checked=False, whole=True),
    Quantity("network_bandwidth", "network", "bit/second", 1e6, 1e16, exact=True, checked=False),
    Quantity("bandwidth", "bandwidth", "byte/second", 1e6, 1e18, exact=True, checked=False),
    Quantity("sample_rate", "sampling rate", "hertz", 1, 1e7, exact=True, checked=False),
    Quantity("interval_steps", "steps between events", "step", 1, 1e8, exact=True, checked=False),
    Quantity("final_epochs", "last epochs", "epoch", 0.1, 1e4, exact=True, checked=False),
    Quantity("sampling_steps", "steps of the sampler", "step", 1, 1e5, exact=True, checked=False),
    Quantity("measured_iterations", "iterations timed", "step", 1, 1e5, exact=True, checked=False),
    Quantity("mixture_share", "share of the data", "", 0, 1, checked=False),
    Quantity("score", "score", "", -1e9, 1e9, checked=False),
    Quantity("change", "change or speed-up", "", 0, 1e9, checked=False),
    Quantity("evaluation_size", "size of an evaluation", "", 0, 1e12, checked=False),
    Quantity("peak_share", "share of an operation", "", 0, 1, checked=False),
    Quantity("downtime", "time lost", "second", 0, 1e9, checked=False),
    Quantity("memory_used", "memory used", "byte", 1e6, 1e13, exact=True, checked=False),
    Quantity("tdp", "rated power", "watt", 10, 5000, exact=True, checked=False),
    Quantity("setting", "another setting", "", -1e12, 1e12, exact=True, checked=False),
    Quantity("partial", "part of a schedule", "", 0, 1e16, exact=True, checked=False),
    Quantity("base_tokens", "tokens of the base model", "token", 1e6, 1e16, checked=False),
    Quantity("count", "a count of other things", "", 0, 1e20, exact=True, checked=False),
)  # fmt: skip

QUANTITIES: Mapping[str, Quantity] = {quantity.name: quantity for quantity in _ALL}


def shown(name: str, value: float) -> str:
    """Format a value with its usual unit: ``1.8 M``, ``45 days``, ``44.5 %``."""
    unit = QUANTITIES[name].unit
    if name == "year":
        return f"{value:.0f}"
    if name in ("wall_clock", "checkpoint_time", "downtime"):
        return _duration(value)
    if unit == "second":
        return f"{value:.3g} s" if value < 1e4 else f"{value:,.0f} s"
    if name in _SHARES:
        return f"{100 * value:.3g} %"
    scales = {
        "FLOP/second/GPU": (1e12, "TFLOP/s"), "FLOP/second": (1e15, "PFLOP/s"), "Wh": (1e6, "MWh"), "watt": (1.0, "W"),
        "tCO2e": (1.0, "t CO2e"), "kgCO2e/kWh": (1.0, "kg/kWh"), "bit/second": (1e9, "Gbit/s"),
        "byte/second": (1e9, "GB/s"),
    }  # fmt: skip
    if unit in scales:
        factor, word = scales[unit]
        return f"{_number(value / factor)} {word}"
    if unit == "byte":
        return f"{value / 1e12:.3g} TB" if value >= 1e12 else f"{value / 1e9:.3g} GB"
    if unit == "FLOP":
        return f"{value:.3g} FLOP"
    if unit.startswith("USD"):
        return f"{_number(value)} USD"
    return _number(value)


def multiple(factor: float) -> str:
    """Format a factor between two figures: ``3.17``, ``1,000``, ``1/8``."""
    if factor < 0.67:
        return f"1/{multiple(1 / factor)}"
    return f"{float(f'{factor:.3g}'):,.0f}" if factor >= 100 else f"{factor:.3g}"


_SHARES = frozenset(
    {
        "mfu", "hfu", "goodput", "mask_ratio", "trainable_share", "active_share", "warmup_share", "learning_rate_decay",
        "mixture_share", "peak_share",
    }
)  # fmt: skip


def _duration(seconds: float) -> str:
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.3g} days"
    if seconds >= HOUR:
        return f"{seconds / HOUR:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 600 else f"{seconds:.3g} s"


def _number(value: float) -> str:
    value = float(f"{value:.9g}")  # so that floating-point error does not change the last digit
    size = abs(value)
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if size >= scale:
            return f"{value / scale:.4g} {letter}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
