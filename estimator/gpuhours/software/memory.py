"""What a software stack keeps in memory: the ``memory:`` block of a software profile."""

from typing import Annotated, Final

from pydantic import Field

from gpuhours.hardware.number_formats import FORMATS
from gpuhours.inputs.yaml_files import Section, keyed_by
from gpuhours.software.figures import NAMES, OPERATOR, ChosenDefault

GIB: Final = 2.0**30
ByOperator = Annotated[dict[str, float], keyed_by(OPERATOR, NAMES)]
ByFormat = Annotated[dict[str, float], keyed_by("number format", FORMATS)]


class MemoryFacts(Section):
    """Bytes that follow from how a stack is written. The defaults are plain PyTorch's, one process per
    GPU."""

    source: str = "own measurements on H200, PyTorch 2.11"
    note: str = ""
    settled_on: tuple[str, ...] = ()
    """As of every sourced group (``inputs.yaml_files.Sourced``)."""
    settled: tuple[str, ...] = ()
    saved: ByOperator = Field(default_factory=dict)
    """Elements kept by operator kind, where a kernel keeps other than what autograd would (``Pointwise.saved``)."""
    saved_autocast: ByOperator = Field(default_factory=dict)
    """The same under autocast, where it differs."""
    casts_each: bool = False
    """Under autocast every product keeps a 16-bit copy of its input of its own, also where several read the same."""
    wide_ends: bool = False
    """Beside 4-bit weights all else is kept in fp32: the frozen embedding and head, norms, and the stream that these put out (peft's
    ``prepare_model_for_kbit_training``; ``Software.as_run``)."""
    adapter_inputs: float = 0.0
    """B/element of the copy of its input that each adapter keeps, beside the product's own (peft: adapters in fp32)."""
    weights: ByFormat = Field(default_factory=dict)
    """B/parameter of the stored weights by dtype, quantised copies included; where none is given, the
    precision's own (Transformer Engine may keep fp8 weights alone)."""
    gradients: ByFormat = Field(default_factory=dict)
    """B/parameter of the gradients by dtype; where none is given, those of the stored weight's format."""
    gradients_live: bool = False
    """Gradient buffers exist through the whole step, not from the backward pass to the optimiser only."""
    gradients_dropped: bool = False
    """The wrapper's buckets alone outlive a step: gradients are dropped, not zeroed, or views of the buckets."""
    replica_gradients: float = 1.0
    """Copies of the gradients that a data-parallel wrapper adds: PyTorch's DDP buckets."""
    accumulates_whole: bool = True
    """Under ZeRO-3 gradients stay whole until the last micro-batch (no_sync)."""
    partition: ByFormat = Field(default_factory=dict)
    """B/parameter that an optimiser owns beside master weights and moments, by dtype: its own gradients, also where one rank owns all."""
    update: float = 4.0
    """B/parameter of temporaries in the optimiser's update of narrow weights."""
    update_most: float = 0.8e9
    """Bytes that ``update`` never exceeds, where the update runs in chunks."""
    logits: float = 12.0
    """B/logit when the backward pass of the loss begins: fp32 logits, their log-softmax, its gradient."""
    logits_forward: float = 10.0
    """B/logit when the loss has been computed."""
    loss_blocks: int = 1
    """Blocks of tokens that the head and its loss run over, one after another, where a layout does not say."""
    loss_by_width: bool = False
    """Where a layout does not say, blocks are as long as keeps a block's logits within the size of all hidden states (Liger)."""
    biased_scores: float | None = None
    """B/attention score where scores get a learned bias and are never fused for it (T5); None: as others."""
    scores: float | None = None
    """B/attention score of unfused attention; None: the softmax, and with dropout its mask and the dropped
    copy."""
    gathered_inputs: bool = True
    """Sequence parallelism: products keep their gathered input, not the shard they gathered it from."""
    gathered_now: float = 0.0
    """Sequence parallelism: whole copies of the residual stream that exist at once, of a layer's input, its gradient and what is summed."""
    pipeline_ahead: int = 0
    """Micro-batches that wait on a pipeline stage beyond those its schedule needs."""
    pipeline_outputs: int = 0
    """Outputs of a stage kept for every micro-batch that waits, beside what its layers keep."""
    gathered_layers: float = 2.0
    """Layers whose weights are whole at once under ZeRO-3: the one that runs and the one fetched ahead."""
    flat_gather: float = 0.0
    """B/parameter of flat copies that ZeRO-1 and 2 gather updated weights through at once: of all weights, and of a rank's share."""
    bucket: float = 0.0
    """Bytes of the buffers that gradients and weights pass through between data-parallel ranks."""
    reserved: float = 0.05
    """What the allocator holds beyond the tensors, as a fraction of them."""
    reserved_zero3: float = 0.23
    """The same where weights are gathered and dropped layer by layer."""
    reserved_split: Annotated[float, ChosenDefault(("nanotron-bench", "torchtitan"), without=0.0)] = 0.1
    """Further share of activations and logits where products are split over ranks: sums on other streams give their buffers back late
    (nanotron's bench asked for 0.05 to 0.13, torchtitan's 70B steps for 0.2)."""
    reserved_ahead: float = 0.0
    """Whole copies of the residual stream that lie there where sums are eager calls and the host runs ahead of them, by as many launches
    as CUDA queues (1,024): the same on 2 and on 32 ranks. None where the host waits itself (``memory.peak``; nanotron)."""
    reserved_expandable: float = 0.02
    """The same with expandable segments: what lies between blocks of a segment."""
    reserved_least: Annotated[float, ChosenDefault(("longvila", "bigscience"), without=0.0)] = 0.02
    """The same when memory runs short and cached blocks are given back (LongVILA's longest sequences; BigScience's
    fullest runs fill 0.93 to 0.98 by it)."""
    context: float = 0.6 * GIB
    """CUDA context, libraries and their workspaces: what a driver shows beyond the allocator."""
    communicator: float = 0.3 * GIB
    """NCCL's buffers for each communicator a rank takes part in."""
