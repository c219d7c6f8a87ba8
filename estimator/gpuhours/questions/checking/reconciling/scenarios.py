"""Usual assumptions for what the text of a video run leaves open; results are labelled as assumed and never used to contradict.

visual tokens = clips x epochs x frames x (side / patch)^2          unpooled, one pass unless epochs are stated
masked autoencoder: tokens of a clip = frames / 2 x (side / 16)^2 (tubelets of two frames); the encoder sees the unmasked share
"""

from __future__ import annotations

from collections.abc import Iterator

from gpuhours.inputs.records import dataclass
from gpuhours.questions.checking.claim import Assumed, Document
from gpuhours.questions.checking.setting import Setting
from gpuhours.run.identities import Identity, product

SIDE = 224.0
TUBELET, PATCH = 2.0, 16.0
DECODER_SHARE = 1.3
"""FLOPs including a light decoder (8 layers of width 512 over all patches) and attention, over 6 N per visible patch: 1.2 to 1.4."""


@dataclass(frozen=True)
class Scenario:
    """Assumptions, and the identities that hold only under them."""

    assumptions: tuple[Assumed, ...]
    identities: tuple[Identity, ...]


def scenario(document: Document, run: Setting) -> Scenario | None:
    """Return the usual case for a video run whose text states neither tokens nor FLOPs; None if there is no usual case for it."""
    if not run.video or run.claimed & {"tokens", "model_flops"}:
        return None
    if run.masked:
        return _masked(document)
    encoder = document.fact("vision_encoder") or ""
    patch = encoder.rpartition("/")[2]
    if not patch.isdigit() or "frames_per_clip" not in run.claimed or document.fact("pooling"):
        return None
    side = document.claim("resolution")
    tokens = ((side.value if side else SIDE) // float(patch)) ** 2
    if tokens < 1:
        return None  # a patch larger than a frame
    assumptions = [
        Assumed(
            "tokens_per_frame",
            tokens,
            0.002,
            f"{encoder} at {side.value if side else SIDE:g} px, every patch reaches the language model",
        )
    ]
    if "epochs" not in run.claimed:
        assumptions.append(Assumed("epochs", 1.0, 0.002, "one pass over the data"))
    return Scenario(tuple(a for a in assumptions if a.quantity not in run.claimed), tuple(_plain_sum(run)))


def _plain_sum(run: Setting) -> Iterator[Identity]:
    """Yield tokens = visual tokens if the document states no text tokens."""
    if "text_tokens" not in run.claimed:
        yield product("tokens = visual tokens", "tokens", "visual_tokens", sigma=0.05)


def _masked(document: Document) -> Scenario | None:
    side, frames, ratio = (document.claim(name) for name in ("resolution", "frames_per_clip", "mask_ratio"))
    if frames is None or ratio is None:
        return None
    patches = frames.value / TUBELET * ((side.value if side else SIDE) // PATCH) ** 2
    visible = patches * (1 - ratio.value)
    if visible <= 0:
        return None
    reason = f"{patches:,.0f} patches per clip (16 px, tubelets of two frames), {100 * (1 - ratio.value):.0f} % of them visible"
    work = product(
        "compute = 6 x parameters x visible patches x clips, plus a light decoder",
        "model_flops", "active_parameters", "tokens_per_sample", "samples", times=6.0 * DECODER_SHARE, sigma=0.1,
    )  # fmt: skip
    return Scenario((Assumed("tokens_per_sample", visible, 0.002, reason),), (work,))
