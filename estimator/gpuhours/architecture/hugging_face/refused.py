"""Model types that nobody reads, by what they have that is not modelled."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gpuhours.inputs.errors import EstimateError, nearest

MISSING: dict[str, str] = {
    r"gemma4_unified|fuyu": "pictures (and sound) as raw patches in the language model's stream",
    r"wav2vec2|hubert|wavlm|unispeech|data2vec-audio|sew|speecht5|mctct": "strided convolutions over sound in front of its layers",
    r"parakeet|conformer|lasr|nemotron.*asr|seamless|canary": "convolutions inside its layers (a conformer)",
    r"audio|omni|voxtral|asr|speech|moonshine|musicgen|vibevoice|bark|moshi|csm|dia$|clap|tts|xcodec|encodec|dac$|mimi$|vits|AudioDiT|Music":
        "sound beside or in place of text; of what hears Whisper alone is read",
    r"resnet|convnext|efficientnet|mobilenet|regnet|^bit$|hgnet|focalnet|poolformer|cvt|levit|mobilevit|vgg|^pvt|van$|timm":
        "convolutions",
    r"swin|hiera|segformer|sam|glpn|swiftformer|donut|maxvit|dinat": "stages of different widths, or windows that shift",
    r"detr|dino$|yolos|owl|mask2former|maskformer|oneformer|table-transformer|d_fine|deim|omdet|layoutlmv2|doclayout":
        "what finds objects on top of an encoder",
    r"^UNet|UNet\\d|ControlNet|Autoencoder|VQModel": "convolutions (a U-Net or an autoencoder)",
    r"^Sana": "linear attention over patches and depthwise convolutions in its feed-forward layers",
    r"^LTX2|SanaWMLTX2": "a stream of sound beside the clip, and attention between the two",
    r"^Mochi": "streams of picture and text of unlike widths",
    r"^WanVACE|^WanAnimate|ConsisID|Framepack": "a second stack of layers that steers the first",
    r"^Cosmos": "modulation of low rank and, in some, a third attention",
    r"^CogView|^GlmImage": "vectors of size that join the time step at another width",
    r"albert": "layers that share their weights",
    r"longformer|big_?bird|led$|longt5|nystromformer|yoso|fnet|funnel|reformer|squeezebert|mobilebert|convbert":
        "attention over parts of a text, or something else in attention's place",
    r"longcat_flash": "layers of two attentions each, and experts that do nothing",
    r"mimo_v2|step3p": "values of another width than keys, or other heads in some layers",
    r"rwkv|xlstm|recurrent_gemma|zamba|jetmoe|hrm|blt": "mixers other than attention, Mamba, delta rules and short convolutions",
    r"blip|q-?former|florence|instructblip|flamingo|kosmos|idefics$|perceiver|git$": "queries that read pictures (a Q-Former)",
    r"lxmert|vilt|bridgetower|flava|visual_bert|layoutlm|udop|lilt|markuplm|bros": "text and pictures or places on a page in one encoder",
}  # fmt: skip
"""Patterns of model types and of diffusers' classes -> what they have that the models here do not."""

WRITE = "Write a shape near it out under model: (layers, hidden, heads, ffn_hidden, vocab), or give --params for a plain transformer."


def refusal(kind: str, known: Iterable[str]) -> EstimateError:
    """Why a model type is not read: what it has, where that is known; the nearest names that are read."""
    names = sorted(known)
    for pattern, parts in MISSING.items():
        if re.search(pattern, kind):
            return EstimateError(f"model_type {kind!r} is not read: it has {parts}, which is not modelled.", WRITE)
    listed = f"{len(names)} types are read: `gpuhours models types` lists them. {WRITE}"
    return EstimateError(f"model_type {kind!r} is not read.", f"{nearest(kind, names)} {listed}".strip())
