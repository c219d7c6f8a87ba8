"""Parameter counts against published ones: every named model, and counts that papers print differently."""

import pytest

from gpuhours.architecture import read_model
from gpuhours.architecture.catalogue import named, names
from gpuhours.architecture.decoder import Decoder
from gpuhours.data import Data
from gpuhours.flops import model_flops
from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.listing.models import ONE_PICTURE, list_models, show_model

COUNTED = [name for name in names() if named(name).parameters is not None]


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_are_the_published_ones(name: str) -> None:
    """Exact if the checkpoint is public, otherwise to the last printed digit (``within``)."""
    published = named(name)
    ours = read_model(name).build(ONE_PICTURE).parameters
    if published.within:
        assert ours == pytest.approx(published.parameters, rel=published.within), published.counted
    else:
        assert ours == published.parameters, published.counted


@pytest.mark.parametrize("name", names())
def test_every_named_model_says_where_it_is_from(name: str) -> None:
    published = named(name)
    assert len(published.title) > 4
    assert len(published.source) > 10
    assert published.within == 0 or 0 < published.within < 0.1
    assert published.parameters is None or len(published.counted) > 6
    assert read_model(name).kind == published.kind  # type: ignore[attr-defined]
    assert read_model(name).name == name


# what one token meets, as the papers say it
ACTIVE = [
    ("mixtral-8x7b", 12.9e9, 0.005, "arXiv:2401.04088, section 3: 13B active, 12.9B on the announcement"),
    ("mixtral-8x22b", 39.1e9, 0.005, "mistral.ai, Mixtral 8x22B: 39B active of 141B"),
    ("deepseek-v3", 37e9, 0.02, "arXiv:2412.19437: 37B activated; ours counts embedding and head, 37.6B"),
    ("deepseek-v2", 21e9, 0.025, "arXiv:2405.04434: 21B activated; ours counts embedding and head"),
    ("qwen3-235b-a22b", 22e9, 0.02, "arXiv:2505.09388: 22B activated"),
    ("qwen3-30b-a3b", 3.3e9, 0.02, "model card: 3.3B activated"),
    ("qwen2-57b-a14b", 14e9, 0.04, "arXiv:2407.10671: 14B activated"),
    ("dbrx-132b", 36e9, 0.02, "databricks/dbrx: 36B active of 132B"),
]


@pytest.mark.parametrize(("name", "active", "within", "source"), ACTIVE, ids=[row[0] for row in ACTIVE])
def test_active_parameters(name: str, active: float, within: float, source: str) -> None:
    assert read_model(name).build(ONE_PICTURE).active_parameters == pytest.approx(active, rel=within), source


def test_non_embedding_parameters_of_deepmind_style_tables() -> None:
    """Pythia's paper (arXiv:2304.01373, table 1) also prints counts without embeddings."""
    for name, expected in (
        ("pythia-70m", 18_915_328),
        ("pythia-1b", 805_736_448),
        ("pythia-12b", 11_327_027_200),
    ):
        spec = read_model(name)
        assert isinstance(spec, Decoder)
        model = spec.model(2048)
        assert model.parameters - 2 * spec.vocab * spec.hidden == expected


def test_forward_macs_of_vision_towers() -> None:
    """open_clip docs/model_profile.csv: GMACs of the image tower at 224 pixels.

    They omit attention scores or count them by a hook, so 2 % are allowed.
    """
    from gpuhours.flops import part_flops

    for name, gmac in (
        ("vit-l-14", 81.08),
        ("vit-h-16", 127.40),
        ("vit-g-14", 267.18),
        ("vit-bigg-14", 483.96),
        ("vit-e-14", 990.94),
        ("vit-l-14-336", 191.10),
    ):
        model = read_model(name).build(Data(frames=1))
        ours = sum(part_flops(part).forward for part in model.parts) / 2e9
        assert ours == pytest.approx(gmac, rel=0.02), name


def test_dit_forward_flops() -> None:
    """arXiv:2212.09748, table 4: DiT-XL/2 118.6, DiT-L/2 80.7, DiT-B/2 23.0, DiT-S/2 6.06 "Gflops"
    (multiply-adds)."""
    from gpuhours.flops import part_flops

    for name, gmac in (("dit-xl-2", 118.64), ("dit-l-2", 80.71), ("dit-b-2", 23.01), ("dit-s-2", 6.06)):
        model = read_model(name).build(Data(frames=1))
        assert sum(part_flops(part).forward for part in model.parts) / 2e9 == pytest.approx(gmac, rel=0.005)


def test_capital_letters_tell_two_encoders_apart() -> None:
    assert read_model("ViT-G/14").name == "vit-bigg-14"
    assert read_model("ViT-g/14").name == "vit-g-14"
    assert read_model("ViT-L/14").name == "vit-l-14"


def test_a_misspelt_name_suggests_the_nearest() -> None:
    with pytest.raises(EstimateError, match="Did you mean 'llama-3-8b'"):
        read_model("lama-3-8b")


def test_summaries_are_json() -> None:
    import json

    listing = list_models().to_dict()["models"]
    assert len(listing) == len(names())
    shown = show_model("longvila-7b", Data(frames=8, text_tokens=100)).to_dict()
    assert json.loads(json.dumps(shown))["parameters"] == sum(part["parameters"] for part in shown["parts"])


@pytest.mark.parametrize("name", [name for name in names() if named(name).kind in ("diffusion", "video-language")])
def test_every_named_model_of_clips_states_those_of_its_recipe(name: str) -> None:
    """A run of it has a first answer though it states no frames."""
    shape = named(name).shape
    if "time_compression" in shape or "tubelet" in shape.get("vision", {}) or shape.get("tubelet"):
        assert named(name).frames is not None


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("glm-4.5-air", 106e9, 12e9),
        ("glm-4.5", 355e9, 32e9),
        ("qwen3-next-80b-a3b", 80e9, 3e9),
        ("qwen3-coder-480b-a35b", 480e9, 35e9),
    ],
)
def test_mixtures_have_the_parameters_that_their_makers_round_to(name: str, total: float, active: float) -> None:
    """Without multi-token prediction; a token's parameters with or without the embedding."""
    model = read_model(name).build(Data(seq_len=4096))
    assert float(model.parameters) == pytest.approx(total, rel=0.02)
    assert float(model.active_parameters) == pytest.approx(active, rel=0.35)


@pytest.mark.parametrize("name", ["olmo-3-7b", "olmo-3-32b"])
def test_three_of_four_layers_of_olmo_3_see_a_window_of_4096(name: str) -> None:
    """At 16,384 tokens a windowed layer costs (16,384 - 2,048) x 4,096 pairs of the 16,384^2 / 2 of a full one, 0.4375."""
    spec = read_model(name)
    windowed, whole = (
        float(model_flops(one.build(Data(seq_len=16_384)))) / 3
        for one in (spec, spec.model_copy(update={"window": None}))
    )
    hidden, layers = float(spec.hidden), float(spec.layers)
    assert whole - windowed == pytest.approx(0.75 * layers * 4 * hidden * 16_384**2 / 2 * (1 - 0.4375), rel=0.01)
