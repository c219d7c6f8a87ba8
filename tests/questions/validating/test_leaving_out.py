"""Every source judged without its own data: constants that were fitted on it, and what is known without it."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel

from gpuhours.hardware.accelerators import list_accelerators, load_accelerator
from gpuhours.hardware.kernel_constants import generation_constants
from gpuhours.hardware.nodes import load_node
from gpuhours.questions.validating.leaving_out import (
    accelerator_without,
    libraries_without,
    node_without,
    owner_of,
    refits,
    scaled,
    software_without,
)
from gpuhours.questions.validating.rows import measured_rows
from gpuhours.questions.validating.sources import sources, system_of, systems_of
from gpuhours.software.figures import Defaults, Host
from gpuhours.software.profile import Software, list_software, load_software

HARDWARE = Path(str(files("hardware_specs")))


def groups(block: object) -> list[object]:
    """Every sourced group below a block."""
    found = [block] if hasattr(block, "fitted_on") else []
    inner = block if isinstance(block, dict) else dict(block) if hasattr(block, "model_fields_set") else {}
    for value in inner.values():
        found += groups(value)
    return found


def besides_launches(group: BaseModel) -> BaseModel:
    """A group without the times of single launches inside it, which have sources of their own."""
    return group.model_copy(update={"kernels": None}) if isinstance(group, Host) else group


def agrees_elsewhere(own: BaseModel, group: str, system: str, left: tuple[str, ...]) -> bool:
    """Whether the fitted figures of a group are also those of what stands in for it: another profile without the source, or the
    documentation."""
    if isinstance(own, Defaults):
        return own.recompute == own.documented
    said = next(one for one in left if f".{group} (as in " in one)
    other = getattr(software_without(said.split("(as in ")[1].removesuffix(")"), system)[0], group)
    fields: tuple[str, ...] = own.fitted  # type: ignore[attr-defined]
    return bool(fields) and all(getattr(own, name) == getattr(other, name) for name in fields)


def test_what_fitted_a_constant_is_a_source_and_a_field_that_there_are() -> None:
    profiles: list[object] = [load_software(name) for name in list_software()]
    kernels = [
        generation_constants(name) for name in ("volta", "ampere", "ada", "hopper", "blackwell", "cdna2", "cdna3")
    ]
    own = [load_accelerator(name).kernels for name in list_accelerators()]
    found = [group for block in [*profiles, *kernels, *own] if block for group in groups(block)]
    systems = {one.system or name for name, one in sources().items()}
    assert sum(bool(group.fitted_on) for group in found) > 50  # type: ignore[attr-defined]
    for group in found:
        assert systems_of(group.fitted_on) <= systems, group  # type: ignore[attr-defined]
        assert set(group.fitted) <= set(type(group).model_fields), group  # type: ignore[attr-defined]


def test_every_named_source_of_the_table_is_spelt_as_there() -> None:
    titles = {row.word("source_title") for row in measured_rows()}
    named = {one.title for one in sources().values()}
    assert len(titles & named) >= 15
    assert system_of("gpuhours vision steps on H200") == system_of("gpuhours measurements on H200") == "gpuhours-h200"
    assert system_of("somebody else") == "somebody else"


def test_who_stands_in_is_a_profile() -> None:
    for name in list_software():
        profile: Software = load_software(name)
        assert set(profile.stand_in) <= set(list_software())


def test_a_stack_met_once_is_its_parent() -> None:
    known, left = software_without("zero-bubble", "zero-bubble")
    assert known.name == "zero-bubble"
    assert known.network == load_software("megatron-2023").network
    assert known.attention != load_software("zero-bubble").attention
    assert left[0] == "the profile zero-bubble (megatron-2023 instead)"


def test_what_hugging_face_steps_fitted_of_others_is_left_out_with_them() -> None:
    known, left = software_without("torch-eager", "hugging-face")
    own = load_software("torch-eager")
    assert (known.padding_mask, known.rotary_cut, known.optimiser.moved, known.optimiser.seconds) == (None, 0.0, {}, {})
    assert known.optimiser.amp == own.optimiser.amp
    assert known.host.kernels is not None
    assert known.host.kernels.each == own.host.kernels.each  # type: ignore[union-attr]
    assert "rotary_cut (a default of code)" in left
    chip, said = accelerator_without("h200-sxm-141gb", "hugging-face")
    assert chip.alignment_constants.even == load_accelerator("h200-sxm-141gb").alignment_constants.odd
    assert "alignment.even (as odd)" in said


def test_memory_that_hugging_face_steps_fitted_is_left_out_with_them() -> None:
    """What was read from steps becomes the parent's, or the default of plain PyTorch; what is counted in code stays."""
    fitted = {
        "huggingface": {"logits_forward", "logits_narrow", "biased_scores"}, "huggingface-compile": {"logits"},
        "huggingface-deepspeed": {"update_most"}, "huggingface-trl": {"loss_blocks"}, "huggingface-liger": {"logits"},
        "llama-factory": {"update_most"},
    }  # fmt: skip
    for name, fields in fitted.items():
        own, known = load_software(name).memory, software_without(name, "hugging-face")[0].memory
        plain = load_software("torch-compile" if name == "huggingface-compile" else "torch-eager").memory
        assert known.saved == own.saved, name
        for field in fields:
            assert getattr(known, field) == getattr(plain, field) != getattr(own, field), (name, field)


def test_compiled_dropout_and_scores_read_from_hugging_face_rows_are_of_that_stack_alone() -> None:
    own, parent = load_software("huggingface-compile"), load_software("torch-compile")
    known, _ = software_without("huggingface-compile", "hugging-face")
    differ = {kind for kind, moved in own.pointwise.operators.items() if moved != parent.pointwise.operators.get(kind)}
    assert differ == {"dropout", "scores"}
    assert known.pointwise.operators == parent.pointwise.operators


def test_what_was_counted_in_code_or_measured_kernel_by_kernel_stays() -> None:
    """Counts from transformers' code and constants from single kernels on two cards stay known; launch times and host waits do not."""
    known, left = software_without("huggingface-trainer", "hugging-face")
    own, parent = load_software("huggingface-trainer"), load_software("torch-eager")
    assert left[0] == "the profile huggingface-trainer (huggingface instead)"
    assert known.pointwise.operators == own.pointwise.operators != parent.pointwise.operators
    assert known.pointwise.issued == own.pointwise.issued != parent.pointwise.issued
    ours, theirs, found = own.host.kernels, parent.host.kernels, known.host.kernels
    assert ours is not None
    assert theirs is not None
    assert found is not None
    assert found.operators == ours.operators
    assert (found.each, found.layer, found.waits) == (theirs.each, theirs.layer, 0.0)
    assert known.autocast == parent.autocast
    assert software_without("huggingface-unfused", "hugging-face")[0].attention == {"default": "unfused"}


def test_constants_fitted_elsewhere_stay() -> None:
    known, left = software_without("torch-eager", "pythia")
    assert known == load_software("torch-eager")
    assert left == ()


def test_where_code_puts_layers_stays_known() -> None:
    """nanotron's code balances FLOPs and does not pad the vocabulary, regardless of who measured its steps."""
    known, left = software_without("nanotron", "nanotron")
    assert left == ("the profile nanotron (megatron-2023 instead)",)
    assert (known.balances, known.vocabulary_multiple) == ("flops", 1)
    assert known.host == load_software("megatron-2023").host


def test_a_group_fitted_on_a_source_is_what_is_known_without_it() -> None:
    """Whether refitted, inherited or substituted: a refitted group is its own figures times what the other rows ask for, no more and no
    less. That factor may come out as 1, where others ask for what the source asked for: torch-eager's pointwise traffic, between
    llm-foundry's (0.87 times) and what torchtitan's twelve eager steps want. Any other group changes, unless the profile that stands in has
    the same figures without the source."""
    refitted = changed = agreed = 0
    for name in list_software():
        for system in {one.system or title for title, one in sources().items()}:
            known, left = software_without(name, system)
            for group in Software.model_fields:
                own = getattr(load_software(name), group)
                kept = any("kept" in said and f".{group} " in said for said in left)
                replaced = any(said.startswith("the profile") for said in left)
                if system in systems_of(getattr(own, "fitted_on", ())) and not (kept or replaced):
                    assert any(f".{group} (" in said for said in left), (name, system, group)
                    factor = refits().get(system, {}).get(f"{owner_of(load_software(name), group)}.{group}")
                    found, said_of = besides_launches(getattr(known, group)), (name, system, group)
                    if factor is not None:
                        refitted += 1
                        assert found == besides_launches(scaled(own, factor)), said_of
                    elif found != besides_launches(own):
                        changed += 1
                    else:
                        agreed += 1
                        assert agrees_elsewhere(own, group, system, left), said_of
    assert refitted > 50
    assert changed > 250
    assert agreed < 0.05 * changed


def test_the_level_of_a_card_comes_from_elsewhere() -> None:
    own = load_accelerator("b300-sxm").kernels
    known, left = accelerator_without("b300-sxm", "megatron-bridge")
    assert own is not None
    assert own.gemm is not None
    assert known.kernels is not None
    assert known.kernels.gemm is not None
    assert known.kernels.gemm.ceiling != own.gemm.ceiling
    assert any("gemm" in said for said in left)
    assert libraries_without("2022", "bigscience")[0] == "2024"
    assert libraries_without("2022", "pythia") == ("2022", ())


def test_scaling_keeps_shares_and_words() -> None:
    exposed = scaled(load_software("paxml").exposed, 10.0)
    assert exposed.shard == 1.0
    assert exposed.tensor == load_software("paxml").exposed.tensor
    network = scaled(load_software("internevo").network, 2.0)
    assert network.sends == "sharded"
    assert network.shard_wait == 2 * load_software("internevo").network.shard_wait


def test_the_first_flashattention_is_half_as_fast_as_the_second_where_its_own_figures_are_left_out() -> None:
    """arXiv:2307.08691, abstract: FlashAttention-2 is about twice as fast."""
    known, left = accelerator_without("a100-sxm-80gb", "llm-foundry")
    general = generation_constants("ampere").attention
    assert known.kernels is not None
    assert known.kernels.attention is not None
    first, second = known.kernels.attention["flash1"], general["flash2"]
    for size, rate in second.forward.efficiency.items():
        assert first.forward.efficiency[size] == rate / 2
        assert first.backward.efficiency[size] == second.backward.efficiency[size] / 2
    assert "ampere.attention.flash1 (from flash2)" in left


def test_defaults_that_measured_runs_chose_are_the_documented_ones_without_them() -> None:
    """MaxText documents remat_policy full; NVIDIA's recipes showed that the outputs of attention are kept."""
    assert load_software("jax").defaults.recompute == "selective"
    known, left = software_without("jax", "dgx-cloud")
    assert known.defaults.recompute == "full"
    assert "jax.defaults (as documented)" in left


def test_what_code_keeps_in_memory_stays_known_but_for_what_was_fitted() -> None:
    """nanotron's eager SwiGLU, its loss and its flat gathers are in its code; what the allocator reserves beside them, and what
    BigScience's optimiser keeps, was fitted on their own tables."""
    known, _ = software_without("nanotron", "nanotron")
    own, parent = load_software("nanotron").memory, load_software("megatron-2023").memory
    assert known.memory.saved == own.saved != parent.saved
    for field in ("bucket", "flat_gather", "logits"):
        assert getattr(known.memory, field) == getattr(own, field) != getattr(parent, field), field
    for field in ("reserved_split", "reserved_ahead"):
        assert getattr(known.memory, field) == getattr(parent, field) != getattr(own, field), field
    assert (
        software_without("bigscience", "bigscience")[0].memory.partition
        == {}
        != load_software("bigscience").memory.partition
    )


def test_defaults_of_code_are_left_out_with_the_runs_that_chose_them() -> None:
    """torchtitan's 70B and nanotron's bench chose what split GEMMs hold, LongVILA's longest sequences what a full card does."""
    facts = load_software("fsdp-compile").memory
    without = {
        system: software_without("fsdp-compile", system)[0].memory for system in ("torchtitan", "longvila", "narayanan")
    }
    assert (facts.reserved_split, facts.reserved_least) == (0.1, 0.02)
    assert (without["torchtitan"].reserved_split, without["torchtitan"].reserved_least) == (0.0, 0.02)
    assert (without["longvila"].reserved_split, without["longvila"].reserved_least) == (0.1, 0.0)
    assert without["narayanan"] == facts
    assert software_without("burstengine", "longvila")[0].memory.reserved_least == 0.045, (
        "its own, which others' runs did not choose"
    )


def test_a_network_keeps_what_its_runs_met_and_not_what_their_steps_fitted() -> None:
    node = dataclasses.replace(load_node("aws-p5"), network="efa-p5")
    known, left = node_without(node, "nanotron")
    assert left == ("efa-p5.ring_step (0)",)
    assert (known.fabric.ring_step, known.fabric.typical) == (0.0, node.fabric.typical)
    assert node.fabric.ring_step > 0
    assert node_without(node, "bigscience") == (node, ())


def test_counted_launches_are_kept_and_timed_on_other_hosts() -> None:
    own, other = load_software("torch-eager").host.kernels, load_software("huggingface").host.kernels
    without, left = software_without("torch-eager", "gpuhours-plain")
    found = without.host.kernels
    assert own
    assert other
    assert found
    assert found.operators == own.operators
    assert (found.each, found.update) == (other.each, other.update) != (own.each, own.update)
    assert "host.kernels (launch times as in huggingface)" in left
    assert software_without("huggingface", "hugging-face")[0].host.kernels.each == own.each  # type: ignore[union-attr]
