"""Diffusion transformers in the diffusers library's format (``_class_name`` instead of ``model_type``)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gpuhours.architecture.hugging_face.config import Config, Fields, Reader
from gpuhours.inputs.errors import EstimateError


def width(config: Config) -> tuple[int, int]:
    """(hidden width, number of heads)."""
    heads, size = config.number("num_attention_heads"), config.number("attention_head_dim")
    return heads * size, heads


def ignored(config: Config, *keys: str) -> None:
    """Mark keys of positions, samplers and numerics, and ``keys``, as read."""
    for key in (
        *keys,
        "sample_size",
        "norm_num_groups",
        "upcast_attention",
        "activation_fn",
        "norm_elementwise_affine",
        "axes_dims_rope",
        "rope_theta",
        "rope_axes_dim",
        "pos_embed_max_size",
        "interpolation_scale",
        "eps",
        "rope_max_seq_len",
        "attention_type",
    ):
        config.get(key)  # fmt: skip


def patched(config: Config) -> Fields:
    """Fields for the patch size, given as one number or as three (time, height, width)."""
    patch = config.get("patch_size", 2)
    if isinstance(patch, list):
        return {"time_patch": patch[0], "patch": patch[1]}
    return {"time_patch": config.number("patch_size_t", default=1), "patch": patch}


def dit(config: Config) -> Fields:
    """Class-conditional DiT, with a class embedding in each layer."""
    ignored(config, "dropout", "norm_type", "num_vector_embeds", "attention_bias")
    hidden, heads = width(config)
    channels = config.number("in_channels")
    return {
        "kind": "diffusion", "layers": config.number("num_layers"), "hidden": hidden, "heads": heads, **patched(config),
        "latent_channels": channels, "out_channels": config.number("out_channels", default=channels),
        "classes": config.number("num_embeds_ada_norm") + 1, "time_per_layer": True,
        "image_size": 8 * config.number("sample_size"),
    }  # fmt: skip


def pixart(config: Config) -> Fields:
    """PixArt: one modulation layer shared by all layers, cross-attention; embeddings of size and aspect ratio at 1024 pixels."""
    ignored(config, "dropout", "norm_type", "num_embeds_ada_norm", "attention_bias", "cross_attention_dim")
    hidden, heads = width(config)
    sample = config.number("sample_size", default=128)
    caption = config.optional("caption_channels")
    sized = config.get("use_additional_conditions", sample == 128)
    return {
        "kind": "diffusion", "layers": config.number("num_layers"), "hidden": hidden, "heads": heads, **patched(config),
        "latent_channels": config.number("in_channels"), "out_channels": config.number("out_channels"), "modulation": "shared",
        "text_hidden": caption or hidden, "caption_layers": 2 if caption else 0,
        "size_frequencies": hidden // 3 if sized else 0,
        "image_size": 8 * sample,
    }  # fmt: skip


WAN_22_CHANNELS = 48
"""Latent channels of Wan 2.2's autoencoder (TI2V-5B), which takes 16 x 16 pixels to a latent where Wan 2.1's of 16 channels takes 8 x 8."""


def wan(config: Config) -> Fields:
    """Wan 2.1 and 2.2, text-to-video or image-to-video with CLIP features."""
    ignored(config, "cross_attn_norm", "num_frame_per_block", "rope_temporal_skip_len")
    config.only(inject_sample_info=False)
    hidden, heads = width(config)
    image, added = config.optional("image_dim"), config.optional("added_kv_proj_dim")
    if (added is not None and added != hidden) or (image is None) is not (added is None):
        raise EstimateError(
            f"image_dim {image} and added_kv_proj_dim {added} of a width of {hidden} are not supported.",
            "Wan has neither, or both.",
        )
    seen = {} if image is None else {"image_hidden": image}
    return {
        "kind": "diffusion", "layers": config.number("num_layers"), "hidden": hidden, "heads": heads,
        "ffn_hidden": config.number("ffn_dim"),
        "qk_norm": "width" if config.get("qk_norm") else "none", **patched(config), **seen,
        "latent_channels": config.number("in_channels"),
        "out_channels": config.number("out_channels"), "modulation": "shared", "text_hidden": config.number("text_dim"),
        "text_length": 512,
        "cross_norm": True, "frequencies": config.number("freq_dim", default=256), "image_size": 480,
        "compression": 16 if config.number("in_channels") == WAN_22_CHANNELS else 8, "time_compression": 4,
    }  # fmt: skip


def ltx(config: Config) -> Fields:
    """LTX-Video: one token per 32 x 32 x 8 pixels, norms over the full width of queries and keys."""
    ignored(config, "cross_attention_dim", "attention_bias", "attention_out_bias", "norm_eps", "qk_norm")
    hidden, heads = width(config)
    return {
        "kind": "diffusion", "layers": config.number("num_layers"), "hidden": hidden, "heads": heads, "qk_norm": "width",
        **patched(config),
        "latent_channels": config.number("in_channels"), "out_channels": config.number("out_channels"), "modulation": "shared",
        "text_hidden": config.number("caption_channels"), "text_length": 128, "cross_qk_norm": True, "compression": 32,
        "time_compression": 8,
        "image_size": 512,
    }  # fmt: skip


def cogvideox(config: Config) -> Fields:
    """CogVideoX: text tokens in the sequence, modulation of text and video from a narrow time embedding, per-head norms with weights."""
    ignored(config, "dropout", "flip_sin_to_cos", "freq_shift", "sample_width", "sample_height", "sample_frames", "timestep_activation_fn",
            "spatial_interpolation_scale", "temporal_interpolation_scale", "use_rotary_positional_embeddings",
            "use_learned_positional_embeddings", "norm_eps", "patch_bias", "ofs_embed_dim", "attention_bias")  # fmt: skip
    hidden, heads = width(config)
    return {
        "kind": "diffusion", "layers": config.number("num_layers"), "hidden": hidden, "heads": heads, "qk_norm": "head-layer",
        **patched(config),
        "latent_channels": config.number("in_channels"), "out_channels": config.number("out_channels"), "vectors": 12,
        "time_hidden": config.number("time_embed_dim", default=512), "frequencies": hidden, "norm": "layer",
        "text_hidden": config.number("text_embed_dim"), "text_in_stream": True, "caption_layers": 1,
        "text_length": config.number("max_text_seq_length", default=226), "image_size": 480, "compression": 8,
        "time_compression": config.number("temporal_compression_ratio", default=4),
    }  # fmt: skip


def sd3(config: Config) -> Fields:
    """Stable Diffusion 3: only double layers, the last of which reads the text without updating it; some have a second attention (3.5
    medium)."""
    ignored(config, "caption_projection_dim")
    hidden, heads = width(config)
    dual = config.get("dual_attention_layers") or ()
    return {
        "dual_layers": len(dual),
        "kind": "two-stream", "double_layers": config.number("num_layers"), "hidden": hidden, "heads": heads, **patched(config),
        "latent_channels": config.number("in_channels"),
        "out_channels": config.number("out_channels", default=config.number("in_channels")),
        "qk_norm": "head" if config.get("qk_norm") else "none", "text_hidden": config.number("joint_attention_dim"),
        "text_length": 333,
        "pooled_hidden": config.number("pooled_projection_dim"), "text_ends_early": True, "image_size": 1024,
    }  # fmt: skip


def flux(config: Config) -> Fields:
    """Flux: latents are packed two by two, so a patch is one position with 64 channels. LongCat-Image and Bria have no pooled text."""
    ignored(config, "guidance_embeds", "time_theta")
    hidden, heads = width(config)
    pooled = config.number("pooled_projection_dim", default=0)
    if config["_class_name"] != "FluxTransformer2DModel":
        pooled = 0
    return {
        "kind": "two-stream", "double_layers": config.number("num_layers"), "single_layers": config.number("num_single_layers"),
        "hidden": hidden, "heads": heads, **patched(config), "latent_channels": config.number("in_channels"), "qk_norm": "head",
        "text_hidden": config.number("joint_attention_dim"), "pooled_hidden": pooled,
        "guidance": bool(config.get("guidance_embeds")), "compression": 16, "image_size": 1024,
    }  # fmt: skip


def qwen_image(config: Config) -> Fields:
    """Qwen-Image: only double layers over packed latents (``in_channels`` is four times the latent's), RMSNorm on the text, rotary
    positions; the only conditioning vector is the time embedding."""
    ignored(config, "zero_cond_t", "use_layer3d_rope", "guidance_embeds")
    if config.get("use_additional_t_cond"):
        raise EstimateError("use_additional_t_cond of Qwen-Image is not supported.", "Only Qwen-Image-Layered has it.")
    hidden, heads = width(config)
    patch, channels = config.number("patch_size", default=2), config.number("in_channels")
    out = config.number("out_channels", default=channels)
    return {
        "kind": "two-stream", "double_layers": config.number("num_layers"), "hidden": hidden, "heads": heads, "patch": 1,
        "latent_channels": channels, "out_channels": out * patch**2, "qk_norm": "head", "text_norm": True, "rotated": True,
        "text_hidden": config.number("joint_attention_dim"), "compression": 8 * patch, "image_size": 1024,
    }  # fmt: skip


def hunyuan_video(config: Config) -> Fields:
    """HunyuanVideo: two refiner layers over the text before the joint layers."""
    ignored(config, "mlp_ratio", "image_condition_type", "qk_norm")
    hidden, heads = width(config)
    return {
        "kind": "two-stream", "double_layers": config.number("num_layers"), "single_layers": config.number("num_single_layers"),
        "hidden": hidden, "heads": heads, "ffn_hidden": int(config.get("mlp_ratio", 4) * hidden), **patched(config),
        "latent_channels": config.number("in_channels"), "out_channels": config.number("out_channels"), "qk_norm": "head",
        "text_hidden": config.number("text_embed_dim"), "text_length": 256,
        "pooled_hidden": config.number("pooled_projection_dim"),
        "guidance": bool(config.get("guidance_embeds")), "refiner_layers": config.number("num_refiner_layers"),
        "image_size": 720,
        "time_compression": 4,
    }  # fmt: skip


def flux2(config: Config) -> Fields:
    """FLUX.2: gated, no biases, one modulation layer shared by all layers of a kind."""
    ignored(config, "timestep_guidance_channels")
    hidden, heads = width(config)
    return {
        "kind": "two-stream", "double_layers": config.number("num_layers"), "single_layers": config.number("num_single_layers"),
        "hidden": hidden, "heads": heads, **patched(config), "latent_channels": config.number("in_channels"),
        "out_channels": config.optional("out_channels"), "ffn_hidden": int(config.get("mlp_ratio", 3.0) * hidden), "gated": True,
        "biases": False, "modulation": "shared", "qk_norm": "head", "guidance": config.get("guidance_embeds", True),
        "text_hidden": config.number("joint_attention_dim"), "frequencies": config.number("timestep_guidance_channels", default=256),
        "compression": 16, "image_size": 1024,
    }  # fmt: skip


def chroma(config: Config) -> Fields:
    """Chroma: Flux with the modulation of all layers computed by one small network."""
    made = {
        "channels": config.number("approximator_num_channels"), "hidden": config.number("approximator_hidden_dim"),
        "layers": config.number("approximator_layers"),
    }  # fmt: skip
    return {
        **flux(config.supplied({"pooled_projection_dim": 0})),
        "pooled_hidden": 0,
        "guidance": False,
        "approximator": made,
    }


def ovis_image(config: Config) -> Fields:
    """Ovis-Image: Flux with gates and a norm on the text."""
    hidden, _ = width(config)
    return {
        **flux(config.supplied({"pooled_projection_dim": 0})), "out_channels": config.optional("out_channels"), "gated": True,
        "ffn_hidden": 4 * hidden, "text_norm": True,
    }  # fmt: skip


def auraflow(config: Config) -> Fields:
    """AuraFlow: four double layers, then serial single layers; gated, no biases, registers, a position table."""
    ignored(config)
    hidden, heads = width(config)
    if config.number("caption_projection_dim", default=hidden) != hidden:
        raise EstimateError("A caption_projection_dim other than the width is not supported.")
    places = config.number("pos_embed_max_size", default=1024)
    of_input = 3 * hidden  # only patches and time step have biases
    return {
        "kind": "two-stream", "double_layers": config.number("num_mmdit_layers"),
        "single_layers": config.number("num_single_dit_layers"), "single": "serial", "hidden": hidden, "heads": heads,
        **patched(config), "latent_channels": config.number("in_channels"), "out_channels": config.optional("out_channels"),
        "ffn_hidden": -(-int(2 * 4 * hidden / 3) // 256) * 256, "gated": True, "biases": False, "qk_norm": "no-weights",
        "rotated": False, "text_hidden": config.number("joint_attention_dim"), "text_length": 256 + 8,
        "extra_weights": (8 + places) * hidden + of_input, "image_size": 1024,
    }  # fmt: skip


def hunyuan_image(config: Config) -> Fields:
    """HunyuanImage 2.1: HunyuanVideo's layers over images compressed by 32; a second text encoder for glyphs."""
    ignored(config, "qk_norm")
    if config.get("use_meanflow", False):
        raise EstimateError("use_meanflow is not supported.", "Only the distilled HunyuanImage has it.")
    hidden, heads = width(config)
    return {
        "kind": "two-stream", "double_layers": config.number("num_layers"),
        "single_layers": config.number("num_single_layers", default=0), "hidden": hidden, "heads": heads,
        "ffn_hidden": int(config.get("mlp_ratio", 4) * hidden), **sided(config), "latent_channels": config.number("in_channels"),
        "out_channels": config.number("out_channels"), "qk_norm": "head", "text_hidden": config.number("text_embed_dim"),
        "text_length": 1000, "text_2_hidden": config.number("text_embed_2_dim", default=0), "text_2_length": 128,
        "guidance": config.get("guidance_embeds", False), "refiner_layers": config.number("num_refiner_layers"), "compression": 32,
        "image_size": 2048, "rotated": True,
    }  # fmt: skip


def sided(config: Config) -> Fields:
    """Fields for square image patches."""
    patch = config.get("patch_size", 1)
    if isinstance(patch, list) and len(set(patch[-2:])) == 1:
        return {"patch": patch[-1], "time_patch": patch[0] if len(patch) > 2 else 1}
    return patched(config)


def hunyuan_video_15(config: Config) -> Fields:
    """HunyuanVideo 1.5: only double layers; a second text encoder's and an image encoder's tokens are appended to the text's."""
    config.without_effect("task_type", "target_size")
    shape = hunyuan_image(config)
    return {
        **shape, "text_2_length": 256, "image_hidden": config.number("image_embed_dim"), "compression": 16, "image_size": 480,
        "time_compression": 4,
    }  # fmt: skip


def lumina2(config: Config) -> Fields:
    """Lumina-Image 2: grouped-query attention, feed-forward width 4 x hidden, rounded up."""
    ignored(config, "scaling_factor", "axes_dim_rope", "axes_lens")
    hidden, every = config.number("hidden_size"), config.number("multiple_of", default=256)
    wide = int(config.get("ffn_dim_multiplier", 1.0) * 4 * hidden)
    return {
        **one_stream(config, hidden), "layers": config.number("num_layers"), "heads": config.number("num_attention_heads"),
        "kv_heads": config.optional("num_kv_heads"), **patched(config), "out_channels": config.optional("out_channels"),
        "refiner_layers": config.number("num_refiner_layers"), "ffn_hidden": -(-wide // every) * every,
        "time_hidden": min(hidden, 1024), "time_width": min(hidden, 1024),
    }  # fmt: skip


def z_image(config: Config) -> Fields:
    """Z-Image: as many key as query heads regardless of ``n_kv_heads``, a narrow time embedding, padding tokens."""
    ignored(config, "n_kv_heads", "norm_eps", "t_scale", "axes_dims", "axes_lens")
    config.only(siglip_feat_dim=None)
    hidden, sides, times = config.number("dim"), config.listed("all_patch_size"), config.listed("all_f_patch_size")
    if len(sides) > 1 or len(times) > 1:
        raise EstimateError("Several all_patch_size are not supported.", "The published files have one.")
    return {
        **one_stream(config, hidden), "layers": config.number("n_layers"), "heads": config.number("n_heads"),
        "refiner_layers": config.number("n_refiner_layers"), "ffn_hidden": int(hidden / 3 * 8), "patch": sides[0] if sides else 2,
        "time_patch": times[0] if times else 1, "qk_norm": "head" if config.get("qk_norm", True) else "none",
        "time_hidden": 1024, "time_width": min(hidden, 256), "extra_weights": 2 * hidden,
    }  # fmt: skip


def one_stream(config: Config, hidden: int) -> Fields:
    """Fields common to Lumina-Image 2 and Z-Image."""
    return {
        "kind": "single-stream", "hidden": hidden, "latent_channels": config.number("in_channels"),
        "text_hidden": config.number("cap_feat_dim"), "image_size": 1024,
    }  # fmt: skip


READERS: Mapping[str, Reader] = MappingProxyType({
    "DiTTransformer2DModel": dit, "PixArtTransformer2DModel": pixart,
    **dict.fromkeys(("WanTransformer3DModel", "SkyReelsV2Transformer3DModel", "ChronoEditTransformer3DModel"), wan),
    "LTXVideoTransformer3DModel": ltx,
    "CogVideoXTransformer3DModel": cogvideox, "SD3Transformer2DModel": sd3, "QwenImageTransformer2DModel": qwen_image,
    **dict.fromkeys(("FluxTransformer2DModel", "LongCatImageTransformer2DModel", "BriaTransformer2DModel"), flux),
    "HunyuanVideoTransformer3DModel": hunyuan_video, "HunyuanVideo15Transformer3DModel": hunyuan_video_15,
    "HunyuanImageTransformer2DModel": hunyuan_image, "Flux2Transformer2DModel": flux2, "ChromaTransformer2DModel": chroma,
    "OvisImageTransformer2DModel": ovis_image, "AuraFlowTransformer2DModel": auraflow,
    "Lumina2Transformer2DModel": lumina2, "ZImageTransformer2DModel": z_image,
})  # fmt: skip
