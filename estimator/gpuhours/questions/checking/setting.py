"""The kind of run that a document describes: the identities that apply, the default assumptions, and the limits on implied values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import median

from gpuhours.hardware.accelerators import Accelerator, load_accelerator
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.accelerators import Named
from gpuhours.questions.checking.claim import Assumed, Document
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.run.identities import HARD, IDENTITIES, Identity, Sum


@dataclass(frozen=True)
class Setting:
    """The properties of a run that decide which identities, assumptions and limits apply."""

    accelerator: Named | None
    video: bool
    masked: bool
    experts: bool
    flops_per_parameter: float
    """6 for full training, 4 with adapters (no weight gradients), 2 if everything is frozen."""
    kind: str
    claimed: frozenset[str]
    peak: float | None
    recompute: str | None
    sharding: str | None
    frozen: bool
    attention: float = 0.0
    """Attention counted in full as a share of 6N, at most ``WINDOW``; 0 if the text does not give size and sequence length."""
    pretraining: bool = False
    """Whether model and data are so large that published runs set a lower limit on the MFU, and the text states no rate."""
    on_the_card: bool = True
    """Whether optimiser states are on the accelerators, 16 bytes a parameter: neither offloaded nor a smaller optimiser's."""
    linked: bool = False
    """Whether the accelerators are of the kind that those published runs used (see ``linked``)."""

    @property
    def holds(self) -> frozenset[str]:
        """The conditions that the run meets, named as in ``Identity.only``."""
        laid_out = bool(self.claimed & {"tensor", "pipeline", "context", "data_parallel"})
        full = self.flops_per_parameter == FULL and not self.frozen
        said = {
            "clips": self.video,
            "sequences": not self.video,
            "unmasked": not self.masked,
            "dense": not self.experts,
            "counts_active": "active_parameters" in self.claimed,
            "counted_apart": bool(self.claimed & {"text_tokens", "visual_tokens", "tokens_per_frame"}),
            "cut_whole": "clip_seconds" not in self.claimed,
            "cut_from_hours": "dataset_samples" not in self.claimed,
            "laid_out": laid_out,
            "data_parallel_alone": not laid_out and self.sharding is not None,
            "replicated": full and self.on_the_card and self.sharding == "ddp",
            "sharded": full and self.on_the_card and self.sharding != "ddp",
        }
        return frozenset(word for word, so in said.items() if so)

    @property
    def fixed(self) -> dict[str, float]:
        """Constants of the identities that the accelerator and the kind of training determine.

        ``flops_per_parameter`` (per token) is 6 plus 3 % for attention at 2-4k tokens, midway between the conventions that texts use;
        ``loose`` gives its uncertainty.
        """
        constants = {"flops_per_parameter": self.flops_per_parameter * (1.08 if self.video else WITH_ATTENTION)}
        if self.peak is not None:
            constants["peak"] = self.peak
        chip = self.accelerator
        if chip is not None and chip.memory is not None and "GB assumed" not in chip.note:
            constants["memory_as_sold"] = chip.sold_memory or chip.memory
        return constants

    @property
    def loose(self) -> dict[str, float]:
        """Relative s.d. of the constants, such that attention counted in full, 6 (1 + a), is two s.d. above ``WITH_ATTENTION``."""
        reach = math.log((1 + self.attention) / WITH_ATTENTION)
        return {"flops_per_parameter": reach / 2} if reach > 0 and not self.video else {}


FULL = 6.0
WITH_ATTENTION = 1.03
"""FLOPs with attention over 6N, midway between the conventions that texts use."""
WINDOW = 0.35
"""Largest share of attention allowed for (7B at 8k): beyond it the length is usually the context window rather than the length of
most samples, and texts count 6ND."""


def setting(document: Document, accelerator: Named | None) -> Setting:
    """Derive the kind of run from a document's facts and from the quantities that it states."""
    claimed = frozenset(claim.quantity for claim in document.claims if claim.checked)
    if document.fact("layout") is not None:  # the text gives a layout for another run, so this run has one as well
        claimed |= {"tensor", "pipeline", "context"}
    for name in ("tensor", "pipeline"):  # mentioned without a degree: it is used, but the degree is unknown
        claimed |= {name} if claimed and document.fact(f"{name}_parallel") is not None else set()
    claimed |= _unsaid_degrees(document)
    ratio = document.claim("mask_ratio")
    lora = document.fact("trainable") is not None or _trains_a_little(document)
    kind = document.fact("architecture") or ""
    video = bool(claimed & {"frames_per_clip", "video_hours", "tokens_per_frame", "frame_rate", "visual_tokens"})
    video = video or document.fact("vision_encoder") is not None or kind in ("masked autoencoder", "diffusion")
    seq_len = document.claim("seq_len")
    size = document.claim("active_parameters") or document.claim("parameters")
    known = size is not None and seq_len is not None and size.value > 0
    attention = min(attention_share(size.value, seq_len.value), WINDOW) if known and size and seq_len else 0.0
    experts = kind == "mixture of experts" or "active_parameters" in claimed or _counts_experts(document)
    routed = experts and "active_parameters" not in claimed
    plain = not (video or routed or lora or kind in OTHER_KINDS or document.fact("frozen") is not None)
    eight = accelerator is not None and document.fact("precision") == "fp8" and accelerator.sparse_peak is not None
    peak = accelerator.peak * (2.0 if eight else 1.0) if accelerator else None
    return Setting(
        accelerator, video, kind == "masked autoencoder" or (ratio is not None and ratio.value >= 0.5),
        experts, 4.0 if lora else FULL, kind, claimed, peak, document.fact("recompute"),
        document.fact("sharding"), document.fact("frozen") is not None, attention,
        plain and _pretraining(document), document.fact("small_states") is None, linked(accelerator) is not None,
    )  # fmt: skip


DEGREES = ("tensor", "pipeline", "context")
LITTLE = 0.5
"""Share of trained parameters below which a run trains adapters, a head or a bridge: the other weights have no optimiser states."""


def _trains_a_little(document: Document) -> bool:
    """Whether a text's figures say that less than half of the model is trained: a share, or a count beside the model's."""
    share = document.claim("trainable_share")
    trained, whole = document.claim("trainable_parameters"), document.claim("parameters")
    if share is not None or (trained is not None and whole is not None):
        told = share.value if share is not None else trained.value / whole.value if trained and whole else 1.0
        return told < LITTLE
    return False


def _unsaid_degrees(document: Document) -> frozenset[str]:
    """Return the degrees that a text leaves unsaid: it gives ranks of data parallelism, and several GPUs for each of them."""
    gpus, ranks = document.claim("gpus"), document.claim("data_parallel")
    stated = [claim for name in DEGREES if (claim := document.claim(name)) is not None]
    if gpus is None or ranks is None or len(stated) == len(DEGREES):
        return frozenset()
    each = gpus.value / ranks.value / math.prod(claim.value for claim in stated)
    return frozenset(DEGREES) if each > 1 and each == round(each) else frozenset()


def _counts_experts(document: Document) -> bool:
    """Whether the document states more than one expert (``2 of 24 experts``), so that the model is a mixture of experts."""
    return any(claim.quantity == "experts" and claim.value > 1 for claim in document.claims)


LARGE, LONG = 2e9, 1e11
"""Active parameters and tokens above which no published pretraining had a low MFU (see ``SLOWEST_PRETRAINING``)."""
OTHER_KINDS = frozenset(["masked autoencoder", "diffusion", "encoder-decoder"])
RATES = frozenset(
    ["mfu", "hfu", "flops_per_second_per_gpu", "flops_per_second", "tokens_per_second", "tokens_per_second_per_gpu",
     "tokens_per_second_per_node", "samples_per_second", "steps_per_second", "step_time"]
)  # fmt: skip
"""Quantities that give the speed of a run; if the text states one, the run is not judged by the MFU of other runs."""
LINKED = frozenset(["ampere", "hopper"])
"""Generations of NVLink cards that these published runs used."""


def _pretraining(document: Document) -> bool:
    """Whether a run has at least ``LARGE`` parameters and ``LONG`` tokens and states none of ``RATES``."""
    stated = {claim.quantity: claim.value for claim in document.claims if not claim.scope}
    size = stated.get("active_parameters", stated.get("parameters", 0.0))
    return not stated.keys() & RATES and size >= LARGE and stated.get("tokens", 0.0) >= LONG


def linked(accelerator: Named | None) -> Accelerator | None:
    """Return the profile of a card whose generation is in ``LINKED`` and that has NVLink within a node, else None.

    None also for a GH200, as racks can link dozens of them.
    """
    if accelerator is None or accelerator.profile is None:
        return None
    card = load_accelerator(accelerator.profile)
    in_a_node = card.link_bandwidth is not None and "GH200" not in card.title
    return card if card.generation in LINKED and in_a_node else None


def identities(
    holds: frozenset[str], fixed: Mapping[str, float], loose: Mapping[str, float] | None = None
) -> Iterator[Identity | Sum]:
    """Yield every identity whose conditions are among ``holds``.

    The constants in ``fixed`` are substituted; an identity that contains a constant in ``loose`` gets a wider spread.
    """
    for one in IDENTITIES:
        if not one.only <= holds:
            continue
        if isinstance(one, Sum):
            yield one
        elif one.use != "solving" and (left := one.given(fixed)).exponents.keys() <= QUANTITIES.keys():
            spread = math.hypot(one.sigma, *(width for name, width in (loose or {}).items() if name in one.exponents))
            yield left if spread == one.sigma else replace(left, sigma=spread)


def assumed(run: Setting) -> Iterator[Assumed]:
    """Yield default values for quantities that the text does not state, mostly with a spread too wide to decide anything alone."""
    if "goodput" not in run.claimed:
        yield Assumed("goodput", 0.97, 0.05, "published hours include some restarts and evaluation")
    if "recompute_ratio" not in run.claimed:
        ratio = {"full": (4 / 3, 0.03), "selective": (1.02, 0.02), "none": (1.0, 0.01)}.get(
            run.recompute or "", (1.13, 0.12)
        )
        yield Assumed("recompute_ratio", *ratio, f"recomputation: {run.recompute or 'not stated, none to full'}")
    if "pue" not in run.claimed:
        yield Assumed("pue", 1.12, 0.08, "training data centres report 1.05 to 1.3")
    if not run.claimed & {"context"} and run.claimed & {"tensor", "pipeline", "data_parallel"}:
        yield Assumed("context", 1.0, HARD, "no context parallelism is mentioned")
        for name in ("tensor", "pipeline"):
            if name not in run.claimed:
                yield Assumed(name, 1.0, HARD, f"no {name} parallelism is mentioned")


@dataclass(frozen=True)
class Limit:
    """The range of a quantity; a value outside is impossible (``hard``) or has never been observed."""

    quantity: str
    least: float
    most: float
    why: str
    hard: bool = False
    condition: str = ""
    """What the text would have to say for a value outside the range to be a contradiction; empty if nothing is left open."""


LEAST_MFU, MOST_MFU = 0.004, 0.78
"""Lowest and highest share of the dense peak that published runs sustained."""
SLOWEST_PRETRAINING = 0.11
"""Lowest MFU in published/run_totals.csv among pretrainings of at least ``LARGE`` parameters on at least ``LONG`` tokens and cards of
``LINKED`` (Llama 3.2 3B, 11.2 %; YaLM 100B, 13.6 %). A value below half of it is treated as impossible."""
MOST_LINKED, MOST_IN_A_NODE = 16.0, 72.0
"""Most accelerators in a node: A100, H100 and H200 (a2-megagpu-16g), and GB200 NVL72."""
LEAST_INTENSITY, MOST_INTENSITY = 0.004, 1.4
"""Carbon intensity (kgCO2e/kWh) of the cleanest and the dirtiest grid, with a margin."""
LEAST_POWER, MOST_NODE_POWER = 0.2, 2.6
"""The least mean power of an accelerator, and the most of its share of a node, relative to its rated power."""
MOST_PUE = 1.6
"""Of the centres whose energy is compared with work done."""
FROM_OFFERS = 6.0, 5.0
"""Factors by which a published price may lie below (long contracts) and above (early years) the median of today's offers."""


def _price_limit(run: Setting) -> Limit:
    """Return the limit on the price of an accelerator-hour: from today's offers for the card, or a general range if there are none."""
    named = run.accelerator
    if named is not None and named.profile is not None:
        from gpuhours.cost.prices import price_rows

        offers = [row.price * HOUR for row in price_rows(named.profile)]
        if offers:
            middle = median(offers)
            why = f"{named.name} is offered at {min(offers):.2g} to {max(offers):.2g} USD per hour"
            return Limit("price", middle / FROM_OFFERS[0], middle * FROM_OFFERS[1], why)
    return Limit("price", 0.08, 40.0, "an accelerator-hour costs 0.1 to 30 USD")


def limits(run: Setting) -> Iterator[Limit]:
    """Yield the limits on implied values that apply to a run."""
    yield Limit("mfu", 0.0, 1.0, "more than the accelerator's dense peak", hard=True)
    yield Limit(
        "mfu", LEAST_MFU, MOST_MFU, "no published run sustained more than 78 % or less than 0.4 % of the dense peak"
    )
    if run.pretraining:
        why = (
            f"no published pre-training of {LARGE / 1e9:g} B parameters or more on {LONG / 1e9:g} B tokens or more is below "
            f"{100 * SLOWEST_PRETRAINING:.0f} %"
        )
        sure = {"gpus", "wall_clock"} <= run.claimed and run.linked and not run.experts
        condition = "" if sure else "all of the hours belong to this run alone"
        yield Limit("mfu", SLOWEST_PRETRAINING / 2, MOST_MFU, why, condition=condition)
    yield Limit("hfu", 0.0, 1.0, "more than the accelerator's dense peak", hard=True)
    yield Limit("goodput", 0.25, 1.05, "productive time cannot exceed the time spent")
    yield Limit("pue", 1.0, 2.5, "PUE is at least 1")
    yield Limit("carbon_intensity", LEAST_INTENSITY, MOST_INTENSITY, "grids emit 5 to 1,300 g CO2e per kWh")
    yield _price_limit(run)
    yield Limit("active_share", 0.0, 1.02, "active parameters cannot exceed all parameters", hard=True)
    most = MOST_LINKED if run.linked else MOST_IN_A_NODE
    yield Limit("gpus_per_node", 1.0, most, f"nodes with these accelerators hold 1 to {most:g}", hard=True)
    yield Limit("data_parallel", 1.0, math.inf, "fewer GPUs than the model-parallel group needs", hard=True)
    if run.accelerator is not None:
        yield from _limits_of_the_card(run.accelerator, run.peak)


def _limits_of_the_card(card: Named, peak: float | None) -> Iterator[Limit]:
    """Yield the limits that follow from an accelerator's memory and power (W). ``peak``: its FLOP/s in the run's number format."""
    if card.memory is not None:
        yield Limit("state_per_gpu", 0.0, 1.1 * card.memory, "more than the accelerator's memory", hard=True)
    if card.power is None:
        return
    if peak is not None:
        yield _work_for_energy(peak, card.power)
    most = MOST_NODE_POWER * card.power
    why = f"the accelerator draws up to {card.power:.0f} W, a node up to twice that per GPU"
    yield Limit("gpu_power", LEAST_POWER * card.power, most, why)
    yield Limit(
        "carbon_rate",
        LEAST_INTENSITY * LEAST_POWER * card.power / 1e3,
        MOST_INTENSITY * most / 1e3 * MOST_PUE,
        f"an accelerator of {card.power:.0f} W emits from a fifth of its power on hydropower to a whole node's draw on coal",
    )


def _work_for_energy(peak: float, power: float) -> Limit:
    """Return the limit on model FLOPs per joule (GFLOP/J), from the MFU range of published runs.

    peak x MFU / W, from an MFU of 0.4 % at the rated ``power`` (W) and a PUE of 1.6 to 78 % at a fifth of the rated power without PUE.
    """
    full = peak / power / 1e9
    why = f"at 40 % of its peak an accelerator of {power:.0f} W delivers {0.4 * full:.3g} GFLOP/J"
    return Limit("flops_per_energy", LEAST_MFU * full / MOST_PUE, MOST_MFU * full / LEAST_POWER, why)


def attention_share(parameters: float, seq_len: float) -> float:
    """Return the FLOPs of full attention as a share of 6N, from size and length alone: s / (6 d), d = (128 N / 12)^(1/3).

    d follows from N = 12 L d^2 and a depth of L = d / 128, the shape of published decoders (within 25 %).
    Source: A. Chowdhery et al. 2022, PaLM, appendix B for 12 L H Q T; Kaplan et al. 2020 for N = 12 L d^2.
    """
    return seq_len / (6 * (128 * parameters / 12) ** (1 / 3))
