"""Times of a few kernels on this machine's GPU: GEMMs, attention, copies. Needs PyTorch, imported on demand.

Random data, since zeros draw less power; rotating buffers, so that weights do not stay in the cache; kernels without host overhead
(CUDA graphs), or long enough to hide it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.measuring.collectives import CollectiveTime

TOKENS = (1024, 4096, 8192)
HIDDEN = (2048, 4096, 8192)
LENGTHS = (1024, 2048, 4096, 8192)
ATTENTION_TOKENS, HEADS, HEAD_DIMS = 16384, 32, (64, 128)
COPY_BYTES = 2**30
REPEATS = 5
WARM_UP = 600
"""Large GEMMs run before timing, so that the card reaches the clock that its power limit allows."""
FUSED = {1: "flash2", 3: "cudnn"}
"""PyTorch's number of an attention backend -> our name of the kernel."""


@dataclass(frozen=True)
class Device:
    """The measured device and the PyTorch version used."""

    name: str
    memory: float
    """Bytes."""
    multiprocessors: int
    torch: str


@dataclass(frozen=True)
class Gemm:
    """A 16-bit GEMM, [m, n] = [m, k] [k, n]."""

    m: int
    n: int
    k: int
    seconds: float


@dataclass(frozen=True)
class Attention:
    """Causal attention with as many key-value heads as query heads."""

    batch: int
    heads: int
    length: int
    head_dim: int
    forward: float
    backward: float
    """Seconds."""


@dataclass(frozen=True)
class KernelTimings:
    """Everything that was timed."""

    device: Device
    dtype: str
    copy_bandwidth: float
    """Bytes read and written per second by a large copy."""
    launch: float
    """Seconds of an empty kernel, without host time."""
    gemms: tuple[Gemm, ...]
    kernel: str | None
    """The attention kernel that PyTorch chooses, if it is one of ours."""
    attention: tuple[Attention, ...] = field(default=())
    collectives: tuple[CollectiveTime, ...] = ()
    """Between the GPUs, if several were measured."""


def torch_with_gpu() -> Any:
    """The ``torch`` module; raises an error that says what is missing."""
    if importlib.util.find_spec("torch") is None:
        raise EstimateError(
            "Measuring needs PyTorch, which is not installed here.",
            "pip install torch, on the machine that has the GPU.",
        )
    torch: Any = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise EstimateError(
            "PyTorch sees no GPU on this machine.",
            "Run it on a machine where `nvidia-smi` lists one; nothing was measured.",
        )
    return torch


def device(torch: Any) -> Device:
    """The first GPU."""
    properties = torch.cuda.get_device_properties(0)
    return Device(
        torch.cuda.get_device_name(0),
        float(properties.total_memory),
        int(properties.multi_processor_count),
        str(torch.__version__),
    )


def benchmark(torch: Any) -> KernelTimings:
    """Time the kernels; about 15 s and 10 GB of the GPU's memory."""
    half = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    large = [torch.randn(8192, 8192, device="cuda", dtype=half) for _ in range(3)]
    for _ in range(WARM_UP):
        torch.mm(large[0], large[1], out=large[2])
    layers = [shape for h in HIDDEN for shape in ((h, h), (4 * h, h), (h, 4 * h))]
    gemms = tuple(one for n, k in layers for tokens in TOKENS for one in layer_gemms(torch, half, tokens, n, k))
    kernel = FUSED.get(chosen_backend(torch, half))
    shapes = [(length, width) for width in HEAD_DIMS for length in LENGTHS] if kernel else []
    return KernelTimings(
        device=device(torch),
        dtype="bf16" if half is torch.bfloat16 else "fp16",
        copy_bandwidth=copy_bandwidth(torch),
        launch=empty_kernel(torch),
        gemms=gemms,
        kernel=kernel,
        attention=tuple(attention(torch, half, length, width) for length, width in shapes),
    )


def in_graph(torch: Any, calls: Sequence[Callable[[], object]]) -> float:
    """Seconds per call: the median replay of a CUDA graph of all calls, divided by their number."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        calls[0]()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    graph.replay()
    return in_batches(torch, graph.replay) / len(calls)


def in_batches(torch: Any, call: Callable[[], object]) -> float:
    """Seconds per call: the median of a few, each between two events, after one warm-up."""
    call()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize()
    return float(statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(events))) * 1e-3


def layer_gemms(torch: Any, half: Any, tokens: int, n: int, k: int) -> tuple[Gemm, ...]:
    """Y = X W', dX = dY W and dW = dY' X of one weight [n, k], over as many sets of operands as fit in 1 GB, up to 8."""
    sets = range(max(1, min(8, int(1e9 / (2 * (tokens * k + k * n + tokens * n))))))
    x, y, w = (
        [torch.randn(*shape, device="cuda", dtype=half) for _ in sets] for shape in ((tokens, k), (tokens, n), (n, k))
    )
    forward = [functools.partial(torch.mm, x[at], w[at].t()) for at in sets]
    inputs = [functools.partial(torch.mm, y[at], w[at]) for at in sets]
    weights = [functools.partial(torch.mm, y[at].t(), x[at]) for at in sets]
    return (
        Gemm(tokens, n, k, in_graph(torch, forward)),
        Gemm(tokens, k, n, in_graph(torch, inputs)),
        Gemm(n, k, tokens, in_graph(torch, weights)),
    )


def queries(torch: Any, half: Any, length: int, width: int) -> list[Any]:
    """Queries, keys and values of ``ATTENTION_TOKENS`` tokens."""
    shape = (ATTENTION_TOKENS // length, HEADS, length, width)
    return [torch.randn(*shape, device="cuda", dtype=half, requires_grad=True) for _ in range(3)]


def chosen_backend(torch: Any, half: Any) -> int:
    """PyTorch's number of the attention backend that it chooses on this GPU."""
    return int(torch._fused_sdp_choice(*queries(torch, half, 2048, 128), is_causal=True))


def attention(torch: Any, half: Any, length: int, width: int) -> Attention:
    """Forward and backward of one shape."""
    inputs = queries(torch, half, length, width)
    core = torch.nn.functional.scaled_dot_product_attention
    output = core(*inputs, is_causal=True)
    gradient = torch.randn_like(output)
    forward = in_batches(torch, lambda: core(*inputs, is_causal=True))
    backward = in_batches(torch, lambda: torch.autograd.grad(output, inputs, gradient, retain_graph=True))
    return Attention(ATTENTION_TOKENS // length, HEADS, length, width, forward, backward)


def copy_bandwidth(torch: Any) -> float:
    """Bytes read and written per second by a copy kernel (inside a graph a copy engine may be used, at 0.6 of the rate on H200)."""
    source = torch.randn(COPY_BYTES // 4, device="cuda")
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / in_batches(torch, lambda: target.copy_(source))


def empty_kernel(torch: Any) -> float:
    """Seconds between consecutive kernels in a CUDA graph."""
    one = torch.ones(1, device="cuda")
    return in_graph(torch, [lambda: one.add_(1)] * 200)
