"""Memory behaviour of a software stack: the ``memory:`` block of a software profile."""

from typing import Annotated, Final

from pydantic import Field

from gpuhours.hardware.number_formats import FORMATS
from gpuhours.inputs.yaml_files import Section, keyed_by
from gpuhours.software.figures import NAMES, OPERATOR, ChosenDefault

GIB: Final = 2.0**30
ByOperator = Annotated[dict[str, float], keyed_by(OPERATOR, NAMES)]
ByFormat = Annotated[dict[str, float], keyed_by("number format", FORMATS)]


class CompiledLoss(Section):
    """The loss of a stack that compiles it only from some year on."""

    since: int
    """The first year of releases that compile the loss."""
    logits: float
    """As in ``MemoryFacts``, from then on."""
    logits_forward: float
    """As in ``MemoryFacts``, from then on."""


class MemoryFacts(Section):
    """Memory figures that follow from a stack's code. The defaults are those of plain PyTorch with one process per GPU."""

    source: str = "own measurements on H200, PyTorch 2.11"
    note: str = ""
    fitted_on: tuple[str, ...] = ()
    """See ``inputs.yaml_files.Sourced``."""
    fitted: tuple[str, ...] = ()
    saved: ByOperator = Field(default_factory=dict)
    """Saved elements per element, by operator kind, for kernels that save something other than autograd would (``Pointwise.saved``)."""
    saved_autocast: ByOperator = Field(default_factory=dict)
    """The same under autocast, if different."""
    casts_each: bool = False
    """Whether under autocast every GEMM saves its own 16-bit copy of its input, even if several share it."""
    wide_ends: bool = False
    """Whether everything besides 4-bit weights is fp32: the frozen embedding and head, norms, and the stream that they output (peft's
    ``prepare_model_for_kbit_training``; ``Software.as_run``)."""
    adapter_inputs: float = 0.0
    """B/element of the copy of its input that each adapter saves, in addition to the GEMM's saved input (peft: adapters in fp32)."""
    weights: ByFormat = Field(default_factory=dict)
    """B/parameter of the stored weights by dtype, including quantised copies; by default the precision's own (Transformer Engine may keep
    only fp8 weights)."""
    gradients: ByFormat = Field(default_factory=dict)
    """B/parameter of the gradients by dtype; by default those of the stored weight's format."""
    gradients_live: bool = False
    """Whether gradient buffers exist through the whole step, rather than only from the backward pass to the optimiser. In
    a pipeline such buffers are never sharded, whatever ZeRO level is asked for."""
    gradients_dropped: bool = False
    """Whether only the wrapper's buckets outlive a step: gradients are freed rather than zeroed, or are views of the buckets."""
    replica_gradients: float = 1.0
    """Copies of the gradients that a data-parallel wrapper adds: PyTorch's DDP buckets."""
    accumulates_whole: bool = True
    """Whether under ZeRO-2 and 3 gradients stay unsharded until the last micro-batch (no_sync), as they do in every pipeline."""
    partition: ByFormat = Field(default_factory=dict)
    """B/parameter of optimiser state besides master weights and moments, by dtype: the optimiser's own copy of the gradients, also on a
    single rank."""
    update: float = 4.0
    """B/parameter of temporary tensors in the optimiser's update of 16-bit weights."""
    update_most: float = 0.8e9
    """Upper limit of ``update`` in bytes, if the update runs in chunks."""
    logits: float = 12.0
    """B/logit at the start of the loss's backward pass: fp32 logits, their log-softmax, its gradient."""
    logits_narrow: float | None = None
    """Peak B/logit of a masked-word loss, which reads logits in 16 bit; autocast adds 4. None: the same as for a next-word loss."""
    logits_forward: float = 10.0
    """B/logit after the loss has been computed."""
    compiled_loss: CompiledLoss | None = None
    """When the stack began to compile its loss, and what its logits take since."""
    loss_blocks: int = 1
    """Number of blocks of tokens that the head and its loss process one after another, by default."""
    loss_by_width: bool = False
    """Whether by default blocks are sized so that a block's logits are no larger than all hidden states (Liger)."""
    biased_scores: float | None = None
    """B/attention score if a learned bias is added to scores, so that attention is unfused (T5); None: the same as without a bias."""
    scores: float | None = None
    """B/attention score of unfused attention; None: the softmax and, with dropout, the dropout mask and the dropped copy."""
    gathered_inputs: bool = True
    """Sequence parallelism: whether GEMMs save their gathered input rather than the rank's shard of it."""
    gathered_now: float = 0.0
    """Sequence parallelism: number of unsharded copies of the residual stream that exist at once: a layer's gathered input, its gradient,
    the input of the reduce-scatter."""
    pipeline_ahead: int = 0
    """Micro-batches in flight on a pipeline stage in addition to those that its schedule needs."""
    pipeline_outputs: int = 0
    """Outputs of a stage kept for every micro-batch in flight, besides what its layers save."""
    gathered_layers: float = 2.0
    """Number of layers whose weights are unsharded at once under ZeRO-3: the current one and the prefetched one."""
    flat_gather: float = 0.0
    """B/parameter of the flat buffers with which ZeRO-1 and 2 gather updated weights: one for all weights, one for a rank's shard."""
    bucket: float = 0.0
    """Bytes of communication buffers for gradients and weights between data-parallel ranks."""
    reserved: float = 0.05
    """Memory that the allocator reserves beyond the tensors, as a fraction of the tensors' memory."""
    reserved_zero3: float = 0.23
    """The same under ZeRO-3, where weights are gathered and freed layer by layer."""
    reserved_split: Annotated[float, ChosenDefault(("nanotron-bench", "torchtitan"), without=0.0)] = 0.1
    """Additional reserved memory under tensor parallelism, as a fraction of activations and logits: reductions on other streams release
    their buffers late (fitted: 0.05 to 0.13 on nanotron's benchmark, 0.2 on torchtitan's 70B steps)."""
    reserved_ahead: float = 0.0
    """Number of unsharded copies of the residual stream in memory if reductions are eager calls and the host runs ahead of the GPU, by as
    many launches as CUDA queues (1,024): the same on 2 and on 32 ranks. There are none if the host waits (``memory.peak``;
    nanotron)."""
    reserved_expandable: float = 0.02
    """Like ``reserved``, with expandable segments: gaps between the blocks of a segment."""
    reserved_least: Annotated[float, ChosenDefault(("longvila", "bigscience"), without=0.0)] = 0.02
    """Like ``reserved``, if memory is short and the allocator has released its cached blocks (fitted to LongVILA's longest sequences; with
    it, BigScience's fullest runs reach 0.93 to 0.98 of the card)."""
    context: float = 0.6 * GIB
    """Bytes in use according to the driver but not reserved by the allocator: CUDA context, libraries and their workspaces."""
    communicator: float = 0.3 * GIB
    """Bytes of NCCL buffers for each communicator of a rank."""

    def of_year(self, year: float | None) -> "MemoryFacts":
        """The facts in a given year: today's, with a compiled loss, if the year is None."""
        loss = self.compiled_loss
        if loss is None or (year is not None and year < loss.since):
            return self
        return self.model_copy(update={"logits": loss.logits, "logits_forward": loss.logits_forward})
