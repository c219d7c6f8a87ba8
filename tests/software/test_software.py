"""Software profiles: every file loads, states the sources of its figures, and is found by its names."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from gpuhours.architecture.operators import Pointwise
from gpuhours.hardware.kernel_constants import generation_constants
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import RENAMED
from gpuhours.software.profile import OF_CODE, list_software, load_software

CLASSES = [
    "megatron-2022",
    "megatron-2023",
    "megatron-core",
    "fsdp-eager",
    "fsdp-compile",
    "torch-eager",
    "torch-compile",
    "nanotron",
    "internevo",
    "burstengine",
    "distflashattn",
    "deepspeed",
    "jax",
]


@pytest.mark.parametrize("name", list_software())
def test_every_profile_loads_with_sources(name: str) -> None:
    profile = load_software(name)
    assert profile.name == name
    groups = (
        "pointwise",
        "head",
        "casts",
        "accumulation",
        "optimiser",
        "host",
        "exposed",
        "dispatch",
        "network",
        "defaults",
    )
    assert all(len(getattr(profile, group).source) > 10 for group in groups)


@pytest.mark.parametrize("name", list_software())
@pytest.mark.parametrize(
    "generation",
    ["pascal", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell-rtx", "cdna3", "cdna4"],
)
def test_every_stack_has_a_kernel_everywhere(name: str, generation: str) -> None:
    kernel = load_software(name).attention_kernel(generation)
    assert kernel == "unfused" or kernel in generation_constants(generation).attention


@pytest.mark.parametrize("name", list_software())
def test_every_operator_moves_something(name: str) -> None:
    """An operator missing from a profile would be free; adding biases is always fused, and some only one library's code adds."""
    moved = {
        kind: load_software(name).traffic(kind.value, autocast=False)
        for kind in Pointwise
        if kind is not Pointwise.BIAS and kind not in OF_CODE
    }
    assert all(forward > 0 and backward > 0 for forward, backward in moved.values())


@pytest.mark.parametrize("name", CLASSES)
def test_every_published_class_has_a_profile(name: str) -> None:
    assert load_software(name).name == name


def test_names_and_aliases() -> None:
    assert load_software("Megatron_Core").name == "megatron-core"
    assert load_software("maxtext").name == "jax"


def test_an_unknown_name_suggests_one() -> None:
    with pytest.raises(EstimateError, match="megatron-core") as caught:
        load_software("megatron-coer")
    assert "software" in caught.value.where


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    """``like`` inherits from one of our profiles; groups are replaced as a whole, and a typo is reported with its place."""
    own = tmp_path / "mine.yaml"
    own.write_text("like: torch-eager\ntitle: Ours\nsequence_parallel: true\n", encoding="utf-8")
    mine, theirs = load_software(str(own)), load_software("torch-eager")
    assert (mine.name, mine.title, mine.sequence_parallel) == ("mine", "Ours", True)
    assert mine.pointwise == theirs.pointwise
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("like: torch-eager\ntitle: Ours\nsequence_paralel: true\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="sequence_parallel"):
        load_software(str(wrong))
    earlier = tmp_path / "earlier.yaml"
    of_models = {"caption_products", "merge_product", "time_product"}
    for before, now in ((before, now) for before, now in RENAMED.items() if before not in of_models):
        known = now in type(theirs).model_fields
        key = before if known else f"network: {{source: a test of ours, {before}"
        earlier.write_text(f"like: torch-eager\ntitle: Ours\n{key}: []{'' if known else '}'}\n", encoding="utf-8")
        with pytest.raises(EstimateError, match=f"'{before}' is called '{now}' now"):
            load_software(str(earlier))
    launched = "host: {source: a test of ours, kernels: {source: a test of ours, operators: {product: {forward: 1, backward: 2}}}}"
    earlier.write_text(f"like: torch-eager\ntitle: Ours\n{launched}\n", encoding="utf-8")
    with pytest.raises(
        EstimateError, match=r"'product' is not an operator that a host launches\. It is called 'gemm' now"
    ):
        load_software(str(earlier))
    lost = tmp_path / "lost.yaml"
    lost.write_text("like: torch-eger\ntitle: Ours\n", encoding="utf-8")
    with pytest.raises(EstimateError, match="torch-eager"):
        load_software(str(lost))


def profile_with(tmp_path: Path, operators: str) -> Path:
    """Eager PyTorch with other operators."""
    own = tmp_path / "mine.yaml"
    own.write_text(
        f"like: torch-eager\ntitle: Ours\npointwise:\n  source: a test of ours\n  operators: {operators}\n",
        encoding="utf-8",
    )
    return own


def test_a_group_like_that_of_another_profile(tmp_path: Path) -> None:
    """A group may be taken from any profile, with the figures beside ``like`` in place of its own; a circle or a slip is refused."""
    own, text = tmp_path / "own.yaml", "like: torch-eager\ntitle: Ours\n"
    own.write_text(f"{text}network: {{like: megatron-2023, stragglers: 0.5}}\n", encoding="utf-8")
    found, other = load_software(str(own)).network, load_software("megatron-2023").network
    assert found == other.model_copy(update={"stragglers": 0.5})
    assert load_software("megatron-2022").gathering == load_software("deepspeed").gathering
    for line, message in (
        ("network: {like: megatron-2032}", "megatron-2032.*not a profile"),
        ("network: {like: own}", "own.*not a profile"),
        ("gathering: {like: torch-compile}", "no such group"),
    ):
        own.write_text(f"{text}{line}\n", encoding="utf-8")
        with pytest.raises(EstimateError, match=message) as refused:
            load_software(str(own))
        assert refused.value.where == f"{own}  {line.split(':')[0]}.like"


def test_what_two_profiles_share_is_written_once() -> None:
    """No group of figures stands in two of the included profiles; the second is ``like`` the first."""
    homes: dict[str, list[str]] = {}
    for name in list_software():
        file = files("gpuhours.software") / "profiles" / f"{name}.yaml"
        for key, group in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            if isinstance(group, dict) and "source" in group:
                homes.setdefault(f"{key}: {json.dumps(group, sort_keys=True)}", []).append(name)
    assert [both for both in homes.items() if len(both[1]) > 1] == []


def test_a_slip_in_an_operator_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    """It used to be free: llama-3-70b's MFU rose from 46.8 to 49.0 % without a message."""
    slip = profile_with(tmp_path, "{rmsnorm: {forward: 10.0, backward: 30.0}}")
    with pytest.raises(EstimateError, match="Did you mean 'rms-norm'"):
        load_software(str(slip))


@pytest.mark.parametrize(
    ("group", "nearest"),
    [
        ("memory:\n  saved: {swigluu: 2}", "Did you mean 'swiglu'"),
        ("memory:\n  saved_autocast: {rmsnorm: 2}", "Did you mean 'rms-norm'"),
        ("memory:\n  gradients: {bfloat: 4}", "'bfloat' is not a number format"),
        ("attention: {default: flash2, hoper: cudnn}", "Did you mean 'hopper'"),
        (
            "autocast:\n  source: a test of ours\n  operators: {residul: {forward: 1, backward: 1}}",
            "Did you mean 'residual'",
        ),
    ],
)
def test_a_slip_in_a_table_of_a_profile_is_refused_with_the_nearest_name(
    tmp_path: Path, group: str, nearest: str
) -> None:
    """Each used to have no effect and give no message."""
    own = tmp_path / "mine.yaml"
    own.write_text(f"like: torch-eager\ntitle: Ours\n{group}\n", encoding="utf-8")
    with pytest.raises(EstimateError, match=nearest):
        load_software(str(own))


def test_a_slip_in_what_a_host_launches_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(
        "like: huggingface\ntitle: Ours\nhost:\n  source: a test of ours\n  kernels:\n    source: a test of ours\n"
        "    operators: {gmm: {forward: 1, backward: 2}}\n",
        encoding="utf-8",
    )
    with pytest.raises(EstimateError, match="Did you mean 'gemm'"):
        load_software(str(own))


def test_an_operator_that_nobody_gives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EstimateError, match="lacks") as caught:
        load_software(str(alone(tmp_path)))
    assert "swiglu" in str(caught.value)


def alone(tmp_path: Path) -> Path:
    """Return a complete profile that inherits from none, without SwiGLU."""
    import yaml

    root = Path(str(files("gpuhours.software"))) / "profiles" / "torch-eager.yaml"
    data = yaml.safe_load(root.read_text(encoding="utf-8"))
    del data["pointwise"]["operators"]["swiglu"]
    own = tmp_path / "alone.yaml"
    own.write_text(yaml.safe_dump(data), encoding="utf-8")
    return own


def test_weights_are_gathered_as_they_were_in_the_year_of_a_run() -> None:
    """DeepSpeed copied every rank's part on its own until 2021; who does not say when runs today's."""
    for name in ("deepspeed", "megatron-2022"):
        then = load_software(name).of_year(2021).gathering
        assert then is not None
        assert then.each == 12e-6
        for year in (2022, None):
            assert load_software(name).of_year(year).gathering is None
