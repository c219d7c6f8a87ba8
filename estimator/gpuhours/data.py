"""Training data: numbers of frames, clips, samples and tokens, and the equations between them.

A clip's ``frames`` x ``resolution`` become patches in the vision encoder, then tokens in the bridge.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import model_validator

from gpuhours.inputs.arrays import Array
from gpuhours.inputs.durations import HOUR
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.units import measured_in, whole
from gpuhours.inputs.yaml_files import Section

SIDES = re.compile(r"\s*(\d+)\s*[x×*]\s*(\d+)\s*")
"""``480x832``: the two sides of a picture."""
Hours = Annotated[float, measured_in("hour")]


def frames_of_video(hours: Array, fps: Array) -> Array:
    """Frames sampled from video: hours x 3600 s x frames per second.

    >>> frames_of_video(10, 2)    # 10 hours at 2 frames per second
    72000.0
    """
    return hours * HOUR * fps


def clips_of_video(hours: Array, fps: Array, frames: Array) -> Array:
    """Consecutive clips of ``frames`` frames without overlap: sampled frames / frames per clip."""
    return frames_of_video(hours, fps) / frames


def patches(height: Array, width: Array, patch: Array) -> Array:
    """Number of patches of an image: floor(height / patch) x floor(width / patch), at least one; remainders at the edges are cut off.

    >>> int(patches(224, 224, 14))
    256
    """
    count = np.floor_divide(height, patch) * np.floor_divide(width, patch)
    if np.any(np.less(count, 1)):
        low, wide, side = float(np.min(height)), float(np.min(width)), float(np.max(patch))
        raise EstimateError(
            f"A frame of {low:,.0f} x {wide:,.0f} pixels holds no patch of {side:,.0f}.",
            "Enlarge it.",
            "data.resolution",
        )
    return count


def slices(frames: Array, tubelet: Array) -> Array:
    """Number of temporal positions: ceil(frames / tubelet); the last frame is repeated to fill the last tubelet."""
    return np.ceil(np.divide(frames, tubelet))


def visible_patches(count: Array, mask_ratio: Array) -> Array:
    """Number of visible patches per temporal position after masking: count - floor(mask_ratio x count).

    Tube masking (Tong et al. 2022, section 3.3) hides the same patches at every temporal position: masking 90 % of 196 leaves 20, not 19.6.

    >>> int(visible_patches(196, 0.9))
    20
    """
    return count - np.floor(mask_ratio * count + 1e-9)


def merged_patches(height: Array, width: Array, patch: Array, factor: Array) -> Array:
    """Number of tokens after merging factor x factor neighbouring patches; incomplete blocks are padded: 27 x 27 by 2 gives 14 x 14.

    >>> int(merged_patches(378, 378, 14, 2))
    196
    """
    rows = np.ceil(np.floor_divide(height, patch) / factor)
    columns = np.ceil(np.floor_divide(width, patch) / factor)
    return rows * columns


def with_padding(tokens: Array, padding: Array) -> Array:
    """Number of tokens including padding, of which padding is a share ``padding``: tokens / (1 - padding)."""
    return tokens / (1 - padding)


class Data(Section):
    """The ``data:`` block of a run. None means unknown; there are no silent defaults."""

    video_hours: Hours | None = None
    """Hours of video in the data set."""
    fps: Annotated[float, measured_in("FPS")] | None = None
    """Frames sampled per second of video."""
    frames: Annotated[int, whole("frame")] | None = None
    """Frames per clip; 1 for an image."""
    resolution: Annotated[int, whole("pixel")] | None = None
    """Width in pixels, and height unless ``height`` is given (480x832 gives both); the encoder's own image size by default."""
    height: Annotated[int, whole("pixel")] | None = None
    tokens_per_frame: Annotated[float, measured_in("token", most=1e9)] | None = None
    """Tokens per frame that reach the language model, if they differ from what encoder and bridge give."""
    text_tokens: Annotated[float, measured_in("token", positive=False, most=1e12)] | None = None
    """Text tokens per sample."""
    text_corpus: Annotated[float, measured_in("token")] | None = None
    """Text without video that is trained on alongside one pass over the clips, spread evenly over them: it is counted in the clip's
    sequence, so its attention is overestimated."""
    seq_len: Annotated[int, whole("token")] | None = None
    """Tokens per sample in the language model; with clips, text fills the remainder."""
    padding: Annotated[float, measured_in("", positive=False, most=0.99)] = 0.0
    """Share of the language model's tokens that is padding."""
    longest_frames: Annotated[int, whole("frame")] | None = None
    """Frames to which clips of different lengths are padded, in encoder and language model; ``frames`` is then their mean."""
    packed: bool = False
    """Short samples share a sequence, so that there is no padding."""
    masked: bool | None = None
    """Whether attention gets a padding mask for batches of text, as in fine-tuning with a tokenizer's mask; by default, if ``padding`` is
    above 0 and samples are not packed."""
    dataset_samples: Annotated[float, measured_in("sample")] | None = None
    """Samples (clips, pairs, documents) in the data set."""
    samples: Annotated[float, measured_in("sample")] | None = None
    """Samples seen during the whole training."""
    epochs: Annotated[float, measured_in("epoch")] | None = None
    tokens: Annotated[float, measured_in("token")] | None = None
    """Tokens seen during the whole training."""
    steps: Annotated[float, measured_in("step")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _both_sides(cls, value: Any) -> Any:
        """Split ``resolution: 480x832`` into its two sides. Which of them is the height affects the number of patches only if
        a side is not a whole number of patches."""
        sides = SIDES.fullmatch(str(value.get("resolution", ""))) if isinstance(value, Mapping) else None
        if sides is None or value.get("height") is not None:
            return value
        return {**value, "resolution": int(sides[2]), "height": int(sides[1])}

    @property
    def unpadded(self) -> "Data":
        """The same data without padding."""
        return self.model_copy(update={"packed": True})

    @property
    def in_samples(self) -> bool:
        """Whether the amount of data is given in samples, as in fine-tuning, and not in tokens."""
        return self.tokens is None and (self.samples is not None or self.dataset_samples is not None)

    @property
    def gets_padding_mask(self) -> bool:
        """Whether attention over text gets a padding mask: ``masked`` if given, otherwise True if there is ``padding`` and samples are not
        packed."""
        return bool(np.any(self.padding)) and not self.packed if self.masked is None else self.masked

    @property
    def unique_samples(self) -> Array | None:
        """``dataset_samples``, or the number of clips in the hours of video; None if neither is known."""
        if self.dataset_samples is not None:
            return self.dataset_samples
        if self.video_hours is None or self.fps is None or self.frames is None:
            return None
        return clips_of_video(self.video_hours, self.fps, self.frames)

    @property
    def text_per_sample(self) -> Array | None:
        """Text tokens per sample plus its share of the text corpus: text_tokens + text_corpus / clips. None if neither is given.

        Raises ``EstimateError`` if a text corpus is given but the number of clips is not known.
        """
        if self.text_corpus is None:
            return self.text_tokens
        clips = self.unique_samples
        if clips is None:
            raise EstimateError(
                "The text corpus is spread over the clips, whose number is not known.",
                "Give data.dataset_samples, or data.video_hours with data.fps and data.frames.",
                "data.text_corpus",
            )
        return (0 if self.text_tokens is None else self.text_tokens) + self.text_corpus / clips

    def language_tokens(self, visual: Array = 0) -> Array | None:
        """Tokens per sample in the language model: ``seq_len``, or (visual + text) / (1 - padding), without padding if packed. None if
        neither text nor visual tokens are known.

        Raises ``EstimateError`` if ``visual`` exceeds ``seq_len``.
        """
        if self.seq_len is not None and self.text_tokens is None:
            if np.any(np.greater(visual, self.seq_len)):
                most, room = np.max(visual), np.min(self.seq_len)
                raise EstimateError(
                    f"The clip alone fills {most:,.0f} tokens of a sequence of {room:,}.",
                    "Lengthen data.seq_len, or give data.text_tokens and leave data.seq_len out.",
                    "data.seq_len",
                )
            return self.seq_len
        text = self.text_per_sample
        if text is None and not np.any(visual):
            return None
        return with_padding(visual + (0 if text is None else text), 0.0 if self.packed else self.padding)

    def carrying_tokens(self, visual: Array = 0, longest: Array = 0) -> Array | None:
        """Number of non-padding tokens in ``language_tokens(longest)``, of which ``visual`` are the clip's: ``seq_len`` minus its padding
        and the clip's padding, or visual + text. None if ``language_tokens`` is."""
        if self.seq_len is not None and self.text_tokens is None:
            return self.seq_len * (1.0 if self.packed else 1.0 - self.padding) - (longest - visual)
        return self.unpadded.language_tokens(visual)

    def image(self, native: Array) -> tuple[Array, Array]:
        """(height, width) in pixels; ``native`` is the encoder's own image size, used if no resolution is given."""
        width = native if self.resolution is None else self.resolution
        return (width if self.height is None else self.height), width

    def clip_frames(self) -> Array:
        """Frames computed per clip: ``longest_frames`` if clips are padded to it, otherwise ``frames``.

        Raises ``EstimateError`` if ``frames`` is not given, or exceeds ``longest_frames``.
        """
        if self.frames is None:
            raise EstimateError(
                "The model takes images or video: the number of frames per sample is missing.",
                "1 for pictures (--frames 1).",
                "data.frames",
            )
        if self.packed or self.longest_frames is None:
            return self.frames
        if np.any(np.greater(self.frames, self.longest_frames)):
            mean, longest = float(np.max(self.frames)), float(np.min(self.longest_frames))
            raise EstimateError(
                f"Clips of {mean:,.0f} frames on average cannot be padded to {longest:,.0f}.",
                "data.longest_frames is the longest clip's; leave it out where all are alike.",
                "data.longest_frames",
            )
        return self.longest_frames
