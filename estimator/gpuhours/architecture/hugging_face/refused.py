"""Unsupported model types, with the components that are not modelled."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gpuhours.inputs.errors import EstimateError, nearest

MISSING: dict[str, str] = {
    r"gemma4_unified|fuyu": "images (and audio) as raw patches in the language model's sequence",
    r"wav2vec2-|wavlm|unispeech|data2vec-audio|sew|speecht5|mctct": "strided convolutions over audio and more between or behind its layers",
    r"parakeet|conformer|lasr|nemotron.*asr|seamless|canary": "convolutions inside its layers (a conformer)",
    r"audio|omni|voxtral|asr|speech|moonshine|musicgen|vibevoice|bark|moshi|csm|dia$|clap|tts|xcodec|encodec|dac$|mimi$|vits|AudioDiT|Music":
        "audio besides or instead of text; of audio models only Whisper is supported",
    r"resnet|convnext|efficientnet|mobilenet|regnet|^bit$|hgnet|focalnet|poolformer|cvt|levit|mobilevit|vgg|^pvt|van$|timm":
        "convolutions",
    r"swinv2|swin2sr|hiera|maskformer-swin|segformer|sam|glpn|swiftformer|donut|maxvit|dinat": "stages of different widths",
    r"detr|dino$|yolos|owl|mask2former|maskformer|oneformer|table-transformer|d_fine|deim|omdet|layoutlmv2|doclayout":
        "an object detector on top of an encoder",
    r"^UNet|UNet\\d|ControlNet|Autoencoder|VQModel": "convolutions (a U-Net or an autoencoder)",
    r"^Sana": "linear attention over patches and depthwise convolutions in its feed-forward layers",
    r"^LTX2|SanaWMLTX2": "an audio stream next to the clip, and attention between the two",
    r"^Mochi": "image and text streams of different widths",
    r"^HiDream": "experts in the image's feed-forward layers, and text of two encoders that each layer adds anew",
    r"^WanVACE|^WanAnimate|ConsisID|Framepack": "a second stack of layers that steers the first",
    r"^Cosmos": "low-rank modulation and, in some, a third attention",
    r"^CogView|^GlmImage": "size embeddings added to the time step at another width",
    r"longformer|big_?bird|led$|longt5|nystromformer|yoso|fnet|funnel|reformer|squeezebert|mobilebert|convbert":
        "attention over parts of a text, or a replacement of attention",
    r"longcat_flash": "layers of two attentions each, and zero-computation experts",
    r"mimo_v2|step3p": "values with a width other than the keys', or different heads in some layers",
    r"rwkv|xlstm|recurrent_gemma|zamba|jetmoe|hrm|blt": "mixers other than attention, Mamba, delta rules and short convolutions",
    r"blip|q-?former|florence|instructblip|flamingo|kosmos|idefics2?$|perceiver|git$|minicpm-?v|minicpm_ocr":
        "learned queries over images (a Q-Former or a perceiver)",
    r"openelm|nemotron-nas|DeciLM|deci$": "layers of different widths, or none, by layer",
    r"hymba|plamo2": "heads of attention and of a state-space model side by side, or a Mamba of its own",
    r"arctic$": "a dense feed-forward layer beside the experts",
    r"diffllama": "differential attention: the difference of two softmaxes",
    r"chameleon|emu3|janus|multi_modality|show-o": "an image tokenizer of convolutions (a VQ-GAN)",
    r"molmo$|openvla|prismatic": "an image encoder whose shape is not in its file",
    r"phi4(mm|_multimodal)": "adapters for images and sound inside every layer",
    r"^ovis": "an embedding table of visual words",
    r"video_llava": "one encoder for images and another for clips",
    r"lxmert|vilt|bridgetower|flava|visual_bert|layoutlm|udop|lilt|markuplm|bros": "text and images or page layout in one encoder",
}  # fmt: skip
"""Patterns of model types and diffusers classes -> the component that is not modelled."""

WRITE = "Write out a similar shape under model: (layers, hidden, heads, ffn_hidden, vocab), or give --params for a plain transformer."


def parts_of_family(name: str) -> str | None:
    """The component of a family of diffusion models that is not modelled, by a model's name; None for any other name.

    >>> parts_of_family("mochi-1-preview")
    'image and text streams of different widths'
    """
    families = ((pattern, parts) for pattern, parts in MISSING.items() if pattern.startswith("^"))
    return next((parts for pattern, parts in families if re.match(pattern, name, re.IGNORECASE)), None)


def refusal(kind: str, known: Iterable[str]) -> EstimateError:
    """The error for an unsupported model type: the component that is not modelled, if known, and the nearest supported types."""
    names = sorted(known)
    for pattern, parts in MISSING.items():
        if re.search(pattern, kind):
            return EstimateError(f"model_type {kind!r} is not supported: it has {parts}, which is not modelled.", WRITE)
    listed = f"{len(names)} types are supported: `gpuhours models types` lists them. {WRITE}"
    return EstimateError(f"model_type {kind!r} is not supported.", f"{nearest(kind, names)} {listed}".strip())
