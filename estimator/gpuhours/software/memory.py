"""Memory behaviour of a software stack: the ``memory:`` block of a software profile."""

from typing import Annotated, Final

from pydantic import Field

from gpuhours.hardware.number_formats import FORMATS
from gpuhours.inputs.yaml_files import Section, keyed_by
from gpuhours.software.figures import NAMES, OPERATOR, ChosenDefault

GIB: Final = 2.0**30
ByOperator = Annotated[dict[str, float], keyed_by(OPERATOR, NAMES)]
ByFormat = Annotated[dict[str, float], keyed_by("number format", FORMATS)]


class MemoryFacts(Section):
    """Memory figures that follow from a stack's code. The defaults are plain PyTorch's, one process per
    GPU."""

    source: str = "own measurements on H200, PyTorch 2.11"
    note: str = ""
    settled_on: tuple[str, ...] = ()
    """As in every sourced group (``inputs.yaml_files.Sourced``)."""
    settled: tuple[str, ...] = ()
    saved: ByOperator = Field(default_factory=dict)
    """Elements saved by operator kind, if a kernel saves something other than autograd would (``Pointwise.saved``)."""
    saved_autocast: ByOperator = Field(default_factory=dict)
    """The same under autocast, if different."""
    casts_each: bool = False
    """Whether under autocast every product saves its own 16-bit copy of its input, even if several share it."""
    wide_ends: bool = False
    """Whether everything besides 4-bit weights is fp32: the frozen embedding and head, norms, and the stream that they output (peft's
    ``prepare_model_for_kbit_training``; ``Software.as_run``)."""
    adapter_inputs: float = 0.0
    """B/element of the input copy that each adapter saves, besides the product's own (peft: adapters in fp32)."""
    weights: ByFormat = Field(default_factory=dict)
    """B/parameter of the stored weights by dtype, including quantised copies; by default the precision's own (Transformer Engine may keep
    only fp8 weights)."""
    gradients: ByFormat = Field(default_factory=dict)
    """B/parameter of the gradients by dtype; by default those of the stored weight's format."""
    gradients_live: bool = False
    """Whether gradient buffers exist through the whole step, rather than only from the backward pass to the optimiser."""
    gradients_dropped: bool = False
    """Whether only the wrapper's buckets outlive a step: gradients are freed rather than zeroed, or are views of the buckets."""
    replica_gradients: float = 1.0
    """Copies of the gradients that a data-parallel wrapper adds: PyTorch's DDP buckets."""
    accumulates_whole: bool = True
    """Whether under ZeRO-3 gradients stay unsharded until the last micro-batch (no_sync)."""
    partition: ByFormat = Field(default_factory=dict)
    """B/parameter of optimiser state besides master weights and moments, by dtype: its own gradients, even if one rank owns all."""
    update: float = 4.0
    """B/parameter of temporaries in the optimiser's update of 16-bit weights."""
    update_most: float = 0.8e9
    """Upper limit of ``update`` in bytes, if the update runs in chunks."""
    logits: float = 12.0
    """B/logit at the start of the loss's backward pass: fp32 logits, their log-softmax, its gradient."""
    logits_narrow: float | None = None
    """B/logit at its fullest of a loss that reads logits in 16 bit, of masked words, under autocast 4 more; None: as of next words."""
    logits_forward: float = 10.0
    """B/logit after the loss has been computed."""
    loss_blocks: int = 1
    """Number of blocks of tokens that the head and its loss process one after another, by default."""
    loss_by_width: bool = False
    """Whether by default blocks are sized so that a block's logits are no larger than all hidden states (Liger)."""
    biased_scores: float | None = None
    """B/attention score if scores get a learned bias and are therefore not fused (T5); None: as others."""
    scores: float | None = None
    """B/attention score of unfused attention; None: the softmax, and with dropout its mask and the dropped
    copy."""
    gathered_inputs: bool = True
    """Sequence parallelism: whether products save their gathered input rather than the shard it was gathered from."""
    gathered_now: float = 0.0
    """Sequence parallelism: number of whole copies of the residual stream that exist at once: a layer's input, its gradient, what is
    reduced."""
    pipeline_ahead: int = 0
    """Micro-batches in flight on a pipeline stage beyond those that its schedule needs."""
    pipeline_outputs: int = 0
    """Outputs of a stage kept for every micro-batch in flight, besides what its layers save."""
    gathered_layers: float = 2.0
    """Number of layers whose weights are unsharded at once under ZeRO-3: the current one and the prefetched one."""
    flat_gather: float = 0.0
    """B/parameter of flat copies through which ZeRO-1 and 2 gather updated weights: of all weights, and of a rank's share."""
    bucket: float = 0.0
    """Bytes of buffers for gradients and weights between data-parallel ranks."""
    reserved: float = 0.05
    """What the allocator reserves beyond the tensors, as a fraction of them."""
    reserved_zero3: float = 0.23
    """The same if weights are gathered and freed layer by layer."""
    reserved_split: Annotated[float, ChosenDefault(("nanotron-bench", "torchtitan"), without=0.0)] = 0.1
    """Additional share of activations and logits if products are split over ranks: reductions on other streams release their buffers late
    (fitted: 0.05 to 0.13 on nanotron's benchmark, 0.2 on torchtitan's 70B steps)."""
    reserved_ahead: float = 0.0
    """Number of whole copies of the residual stream in memory if reductions are eager calls and the host runs ahead of them, by as many
    launches as CUDA queues (1,024): the same on 2 and on 32 ranks. None if the host itself waits (``memory.peak``; nanotron)."""
    reserved_expandable: float = 0.02
    """The same with expandable segments: gaps between the blocks of a segment."""
    reserved_least: Annotated[float, ChosenDefault(("longvila", "bigscience"), without=0.0)] = 0.02
    """The same if memory is short and cached blocks are released (LongVILA's longest sequences; BigScience's fullest
    runs reach 0.93 to 0.98 with it)."""
    context: float = 0.6 * GIB
    """CUDA context, libraries and their workspaces: what the driver shows beyond the allocator."""
    communicator: float = 0.3 * GIB
    """NCCL's buffers per communicator of a rank."""
