"""``gpuhours models`` as a user sees it, and laws that hold for any shape."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuhours.architecture.decoder import Decoder
from gpuhours.architecture.decoder_shapes import Experts
from gpuhours.flops import hardware_flops, model_flops
from gpuhours.layout.choices import Recompute
from gpuhours.layout.layout import Layout
from gpuhours.software.profile import load_software
from tests.conftest import Command

MEGATRON = load_software("megatron-core")


def test_list_names_every_model(gpuhours_command: Command) -> None:
    ran = gpuhours_command("models", "list", "--json")
    models = json.loads(ran.out)["models"]
    assert ran.code == 0
    assert len(models) > 150
    assert {"decoder", "vision", "video-language", "diffusion"} <= {model["kind"] for model in models}
    quiet = gpuhours_command("models", "list", "--quiet").out.split()
    assert quiet == [model["name"] for model in models]
    assert "llama-3-8b" in gpuhours_command("models", "list").out


def test_show_prints_counts_to_the_parameter(gpuhours_command: Command) -> None:
    assert gpuhours_command("models", "show", "llama-3-8b", "--quiet").out == "8,030,261,248\n"
    screen = gpuhours_command("models", "show", "deepseek-v3").out
    assert "671,026,419,200" in screen
    assert "37,552,297,472" in screen
    assert all(len(line) <= 80 for line in screen.splitlines())
    shown = json.loads(
        gpuhours_command("models", "show", "longvila-7b", "--frames", "256", "--text-tokens", "372", "--json").out
    )
    assert shown["tokens_per_sample"] == 50_548
    assert sum(part["parameters"] for part in shown["parts"]) == shown["parameters"]


def test_show_reads_sizes_and_configuration_files(gpuhours_command: Command, tmp_path: Path) -> None:
    assert "only the size is known" in " ".join(gpuhours_command("models", "show", "30B").out.split())
    path = tmp_path / "config.json"
    keys = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}
    path.write_text(json.dumps({"model_type": "llama", "vocab_size": 100, **keys}), encoding="utf-8")
    assert gpuhours_command("models", "show", str(path), "--quiet").out == "95,040\n"  # 12,800 + 2 x 41,088 + 64


BAD = [
    (["lama-3-8b"], "Did you mean 'llama-3-8b'"),
    (["llama-3-8b", "--seq-len", "many"], "seq_len"),
    (["longvila-7b", "--frames", "0"], "frames"),
    (["30 GB"], "expected parameter"),
    (["nothing.json"], "cannot be read"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[row[0][0] for row in BAD])
def test_bad_input_is_two(gpuhours_command: Command, arguments: list[str], message: str) -> None:
    ran = gpuhours_command("models", "show", *arguments)
    assert ran.code == 2
    assert message in ran.err
    assert ran.out == ""


@st.composite
def decoders(draw: st.DrawFn) -> Decoder:
    """Strategy for shapes of any size, dense and with experts."""
    heads = draw(st.sampled_from([1, 2, 8, 16, 64]))
    kv_heads = draw(st.sampled_from([count for count in (1, 2, 8, 16, 64) if heads % count == 0]))
    layers = draw(st.integers(2, 120))
    experts = Experts(count=8, top_k=draw(st.integers(1, 8)), first_dense=draw(st.integers(0, 1)))
    return Decoder(
        layers=layers,
        hidden=heads * draw(st.sampled_from([64, 128])),
        heads=heads,
        kv_heads=kv_heads,
        vocab=draw(st.integers(100, 300_000)),
        gated=draw(st.booleans()),
        tied=draw(st.booleans()),
        experts=draw(st.sampled_from([None, experts])),
    )


@settings(max_examples=60)
@given(decoders(), st.integers(64, 100_000))
def test_laws_of_counting(spec: Decoder, length: int) -> None:
    model = spec.model(length)
    assert 0 < model.active_parameters <= model.parameters == model.trainable_parameters
    causal, full = model_flops(model), model_flops(model, convention="full")
    assert model_flops(model, convention="6nd") == pytest.approx(6 * model.active_parameters * length)
    assert causal < full < 2 * causal
    none, selective, whole = (hardware_flops(model, 1, Layout(recompute=kind), MEGATRON) for kind in Recompute)
    assert none == causal
    assert causal < selective < whole <= 4 / 3 * causal * (1 + 1e-12)
    frozen = spec.model_copy(update={"trainable": "frozen"}).model(length)
    assert model_flops(frozen) == pytest.approx(causal / 3)
    assert frozen.trainable_parameters == 0
    adapted = spec.model_copy(update={"trainable": "lora", "rank": 1}).model(length)
    assert model_flops(frozen) < model_flops(adapted)
    assert 0 < adapted.trainable_parameters < model.parameters
