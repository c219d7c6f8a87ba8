"""Reduces the claims of a run to one per quantity: what each means beside the others, and which of several is used.

A word says what a figure may be; the run's other figures decide. Tokens that equal a corpus times its passes are the tokens seen; the
devices of one node are all devices if nothing else is counted; a size in a name is the model's if no other is given.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gpuhours.questions.checking.accelerators import by_name, find_accelerator
from gpuhours.questions.checking.claim import GIVEN, NAME_OF_CARD, Claim, Fact
from gpuhours.questions.checking.precision import Spread, between
from gpuhours.questions.checking.quantities import QUANTITIES
from gpuhours.questions.checking.reading.claims.facts import size_in_name
from gpuhours.questions.checking.reading.claims.stated import BINARY
from gpuhours.questions.checking.reading.runs.nodes import devices_of_a_node, same_devices
from gpuhours.questions.checking.reading.sentences.placed import ASKED, OF_ITS_BASE
from gpuhours.questions.checking.reading.vocabulary.words import WITHOUT_COPIES

PARTS = ("encoder", "decoder", "backbone")
"""Words that make a size that of a part if there is another size for the whole."""
PASSES = 0.06
"""The largest relative error between data set x passes and the tokens seen."""
CORPUS_WORDS = frozenset(
    [
        "corpus",
        "corpora",
        "total",
        "data",
        "data set",
        "dataset",
        "collection",
        "tokens",
        "training on",
        *WITHOUT_COPIES,
    ]
)


def in_their_sense(claims: list[Claim], facts: tuple[Fact, ...]) -> list[Claim]:
    """The claims, with quantities corrected by comparing them with each other."""
    return _only_said_once(same_devices(devices_of_a_node(_corpus_and_seen(claims))), facts)


def with_names(claims: list[Claim], facts: Sequence[Fact]) -> list[Claim]:
    """The claims, plus those from the names of the model and the card where nothing else gives them."""
    return _memory_from_name(_size_from_name(claims, facts), facts)


def _corpus_and_seen(claims: list[Claim]) -> list[Claim]:
    """Makes tokens of a corpus the size of the data set, if other tokens were seen or passes are counted."""
    main = [claim for claim in claims if not claim.scope]
    tokens = [claim for claim in main if claim.quantity == "tokens"]
    epochs = {claim.value for claim in main if claim.quantity == "epochs" and claim.value > 1.02}
    read = [c for c in main if c.quantity in ("tokens", "dataset_tokens")]
    for one, all_ in itertools.permutations(read[:8], 2):
        if any(abs(all_.value / (one.value * passes) - 1) < PASSES for passes in epochs):
            meant = {id(one): "dataset_tokens", id(all_): "tokens"}
            return [replace(claim, quantity=meant.get(id(claim), claim.quantity)) for claim in claims]
    seen = [claim for claim in tokens if claim.because not in CORPUS_WORDS and claim.because]
    passes = any(claim.quantity == "epochs" and claim.value > 1.02 for claim in main)
    if not tokens or any(claim.quantity == "dataset_tokens" for claim in main) or not (passes or seen):
        return claims
    corpus = [claim for claim in tokens if claim.because in CORPUS_WORDS - {"total", "tokens"}]
    if not corpus or (len(tokens) == 1 and not passes):
        return claims
    first = corpus[0]
    return [replace(claim, quantity="dataset_tokens") if claim is first else claim for claim in claims]


def _of_a_model(claim: Claim, main: Mapping[str, Claim], facts: tuple[Fact, ...]) -> str:
    """The quantity of a size or of layers: of a part, or of the whole model if the text has no whole."""
    quantity = claim.quantity
    if quantity == "vision_parameters" and claim.because in ("encoder", "tower", "vit"):
        whole = not main.keys() & {"parameters", "language_parameters", "trainable_parameters"}
        quantity = "parameters" if whole else quantity
    elif (
        quantity == "trainable_parameters"
        and not main.keys() & SIZES
        and not _adapts(facts)
        and claim.because in ("trainable", "learnable")
    ):
        quantity = "parameters"  # 290 million trainable parameters, and no other size
    elif quantity == "language_parameters" and claim.because == "decoder" and not main.keys() & PARTS_OF_MODELS:
        quantity = "parameters"
    elif quantity == "decoder_layers" and "encoder_layers" not in main and "layers" not in main:
        quantity = "layers"
    return quantity


def _of_a_batch(claim: Claim, main: Mapping[str, Claim]) -> str:
    """The quantity of samples and tokens: those of one batch if batch x length says so."""
    quantity = claim.quantity
    if (
        quantity in ("samples", "dataset_samples")
        and {"global_batch_tokens", "seq_len"} <= main.keys()
        and claim.value < LARGEST_COUNT
        and abs(claim.value * main["seq_len"].value / main["global_batch_tokens"].value - 1) < ROUNDED
    ):
        quantity = "global_batch"  # 6.3M tokens, that is 1,536 sequences of 4,096
    elif (
        quantity == "global_batch"
        and "seq_len" in main
        and claim.value >= LARGEST_COUNT
        and claim.value % main["seq_len"].value == 0
        and not COUNTED_WHOLE.search(claim.quote if claim.sentence < GIVEN else claim.text)
    ):
        quantity = "global_batch_tokens"  # total_batch_size=524288 with sequences of 1,024
    elif (
        quantity == "tokens"
        and "global_batch_tokens" in main
        and 1 / FEWEST_STEPS < claim.value / main["global_batch_tokens"].value < FEWEST_STEPS
    ):
        quantity = "global_batch_tokens"  # the batch was 1M tokens at first; we then went on with 4M tokens
    elif (
        quantity in ("tokens", "dataset_tokens", "seq_len")
        and {"global_batch", "seq_len"} <= main.keys()
        and claim is not main["seq_len"]
    ):
        batch = main["global_batch"].value * main["seq_len"].value
        rounded = claim.value < LARGEST_BATCH and (quantity != "seq_len" or claim.value > 8 * main["seq_len"].value)
        near = ROUNDED if rounded else EXACTLY
        quantity = "global_batch_tokens" if abs(claim.value / batch - 1) < near else quantity
    return quantity


def _only_said_once(claims: list[Claim], facts: tuple[Fact, ...]) -> list[Claim]:
    """Corrects the quantity of a figure whose word makes it a part, if the text has no whole for it.

    In a text without pictures, an encoder is the model; ``after 420 iterations`` is the number of iterations if there is no other count;
    tokens that equal batch x length are those of one batch.
    """
    main = {claim.quantity: claim for claim in reversed(claims) if not claim.scope}
    said = next((fact for fact in facts if fact.name == "accelerator"), None)
    batches = {id(claim) for pair in _batch_said_twice(claims, main) for claim in pair}
    chip = (find_accelerator(said.quote) or by_name(said.value)) if said else None
    peak, power = (chip.peak, chip.power) if chip else (None, None)
    found = []
    for claim in claims:
        quantity = claim.quantity
        if id(claim) in batches:
            quantity = "global_batch_tokens" if quantity == "tokens" else "global_batch"
        elif (
            quantity in ("flops_per_second_per_gpu", "flops_per_second")
            and peak
            and any(abs(claim.value / (times * peak) - 1) < AS_SOLD for times in (1.0, 2.0, 4.0))
        ):
            quantity = "peak_flops"
        elif (
            quantity == "gpu_power"
            and power
            and claim is not main.get("gpu_power")
            and abs(claim.value / power - 1) < AS_SOLD
        ):
            quantity = "tdp"
        elif quantity == "dataset_samples" and "samples" not in main and _is_seen(claim):
            quantity = "samples"
        elif quantity == "partial" and "steps" not in main and claim.because == "after" and STEPS.search(claim.text):
            quantity = "steps"
        elif (
            quantity == "partial"
            and not main.keys() & {"tokens", "dataset_tokens"}
            and TOTAL_TOKENS.search(claim.quote)
        ):
            quantity = "tokens"  # after 38,000 updates, i.e. after 17B tokens
        elif quantity in ("vision_parameters", "trainable_parameters", "language_parameters", "decoder_layers"):
            quantity = _of_a_model(claim, main, facts)
        else:
            quantity = _of_a_batch(claim, main)
        found.append(claim if quantity == claim.quantity else replace(claim, quantity=quantity))
    return found


def _is_seen(claim: Claim) -> bool:
    """``in all 366M sequences were processed``: whether samples are counted as those that the model has seen."""
    _, _, behind = " ".join(claim.quote.split()).partition(" ".join(claim.text.split()))
    return SEEN.match(behind) is not None


SEEN = re.compile(r"(?i) (?:were |was |have been |had been )?(?:processed|seen|consumed)\b")


def _adapts(facts: Sequence[Fact]) -> bool:
    """Whether adapters are trained beside a model whose name gives another size."""
    return any(fact.name == "trainable" for fact in facts) and size_in_name(facts) is not None


def _batch_said_twice(claims: Sequence[Claim], main: dict[str, Claim]) -> Iterator[tuple[Claim, Claim]]:
    """``4.2M tokens, that is 2,048 contexts of 2,048 each``: pairs of tokens and sequences that describe one batch."""
    if "seq_len" not in main or main.keys() & {"global_batch", "global_batch_tokens"}:
        return
    sequences = [
        c for c in claims if c.quantity in ("samples", "dataset_samples") and not c.scope and IN_A_BATCH.search(c.text)
    ]
    tokens = [c for c in claims if c.quantity == "tokens" and not c.scope and 0 < c.value < LARGEST_BATCH]
    for one in sequences[:4]:
        for all_ in tokens[:4]:
            if one.value < MOST_SEQUENCES and abs(one.value * main["seq_len"].value / all_.value - 1) < PRODUCT:
                yield one, all_


COUNTED_WHOLE = re.compile(r"\b(?:sequence|sample|example|context|document|image|clip|pair)s?\b", re.IGNORECASE)
"""Nouns that a batch counts and that are no tokens, whatever the number before them."""
IN_A_BATCH = re.compile(r"(?:sequences?|contexts?)\b", re.IGNORECASE)
MOST_SEQUENCES, PRODUCT = 20_000, 0.01
"""The most sequences in a batch, and the largest relative error between sequences x length and tokens."""
SIZES = frozenset(["parameters", "language_parameters", "vision_parameters", "trainable_share", "lora_rank"])
PARTS_OF_MODELS = frozenset(["parameters", "vision_parameters", "trainable_parameters"])
AS_SOLD = 0.01
"""The largest relative difference from the data sheet's value for a figure to be quoted from it."""
OF_THEM = "of them"
"""Marks a count of devices that is a part of those counted before; the run has the full count."""
TOTAL_TOKENS = re.compile(
    r"(?i)(?:\bstop(?:s|ped)?|\bend(?:s|ed)?|finish(?:es|ed)?|\bi\. ?e\.|that is|(?:step|update|iteration)s?,?)\s+"
    r"after\s+[\d.,]+ ?[kMBT]?\w* tokens"
)
"""Words that make the tokens after which something happens the total seen."""
STEPS = re.compile(r"(?:steps?|iterations?|updates?)\b", re.IGNORECASE)
EXACTLY, ROUNDED, LARGEST_BATCH, LARGEST_COUNT, FEWEST_STEPS = 1e-4, 0.06, 1e9, 1e5, 32
"""Batch x length must equal a batch's tokens exactly, or roughly if no run has so few tokens; no run ends within so few batches."""


MACHINE_BOUND = frozenset(
    ["step_time", "steps_per_second", "tokens_per_second", "samples_per_second", "wall_clock", "epoch_time", "memory_per_gpu", "power"]
)  # fmt: skip
"""Quantities that differ on another machine."""


def _on_their_machine(claims: Sequence[Claim], order: Sequence[int]) -> list[Claim]:
    """``On one A100 an iteration takes 25 ms``: marks times given with another number of devices as those of that machine."""
    mine = next((claims[i] for i in order if claims[i].quantity == "gpus" and not claims[i].scope), None)
    if mine is None:
        return list(claims)
    apart = {
        claim.sentence
        for claim in claims
        if claim.quantity == "gpus"
        and not claim.scope
        and claim.value == 1 < mine.value
        and claim.sentence not in (mine.sentence, GIVEN)
    }
    return [
        replace(claim, scope="on another machine")
        if claim.sentence in apart and claim.quantity in MACHINE_BOUND and not claim.scope
        else claim
        for claim in claims
    ]


def one_each(claims: Sequence[Claim], tagged: Sequence[bool]) -> tuple[list[Claim], list[Claim]]:
    """Splits claims into one per quantity, for the identities, and the rest: tagged before stated before assumed, earlier before later."""
    order = sorted(
        range(len(claims)),
        key=lambda i: (
            not tagged[i],
            claims[i].shared,
            claims[i].spread.reason == "range" and claims[i].quantity == "wall_clock",
            claims[i].quantity == "wall_clock" and VAGUE.match(claims[i].text) is not None,
            claims[i].because == OF_ITS_BASE,
            claims[i].quantity == "seq_len" and not claims[i].because.startswith("train"),
            claims[i].because in ("", OF_THEM, ASKED, *PARTS) and not _is_told(claims[i]),
            claims[i].quantity == "parameters" and i,
            i,
        ),
    )
    order = _last_of_counters(claims, order)
    claims = _on_their_machine(claims, order)
    best: dict[str, int] = {}
    for index in order:
        claim = claims[index]
        if claim.scope:
            continue
        first = best.setdefault(claim.quantity, index)
        says = claim.spread.sigma < claims[first].spread.sigma or _says_its_unit(claim, claims[first])
        if says and _same(claim, claims[first]):
            best[claim.quantity] = index
    rates = {claim.value for claim in claims if claim.quantity == "learning_rate" and not claim.scope}
    peak_rate = max(rates) if len(rates) > 2 else 0.0
    kept, aside = [], []
    scheduled = _schedules([claim for claim in claims if not claim.scope])
    for index, claim in enumerate(claims):
        if claim.scope:
            aside.append(claim)
        elif claim.quantity == "learning_rate" and claim.value < peak_rate:
            aside.append(replace(claim, scope="on the way down"))
        elif best[claim.quantity] == index or not QUANTITIES[claim.quantity].checked:
            kept.append(replace(claim, spread=scheduled.get(claim.quantity, claim.spread)))
        else:
            if not _same(claim, claims[best[claim.quantity]]):
                aside.append(replace(claim, scope=f"another figure for {claim.title}"))
    return kept, aside


def _is_told(claim: Claim) -> bool:
    """Whether a unit is enough: ``10.7B parameters``, or days in a table, whose header may be no more than ``Days``."""
    if claim.quantity == "wall_clock":
        return claim.of_row
    return claim.quantity == "parameters" and claim.because == "" and "param" in claim.text.lower()


def _says_its_unit(claim: Claim, other: Claim) -> bool:
    """``a 6.7B parameter model``: whether a size names its unit and the other, such as 7B in a name, does not."""
    return claim.quantity == "parameters" and "param" in claim.text.lower() and "param" not in other.text.lower()


VAGUE = re.compile(
    r"(?:a (?:bit|little)|just|well|slightly|almost|nearly|more than|less than|over|under)\b", re.IGNORECASE
)
"""First words of an approximate time; a more exact statement of it is preferred."""
COUNTERS = frozenset(["tokens", "steps", "samples"])


def _last_of_counters(claims: Sequence[Claim], order: list[int]) -> list[int]:
    """Puts the last value first for a counter that a log prints repeatedly with growing values."""
    for name in COUNTERS:
        seen = [n for n, claim in enumerate(claims) if claim.quantity == name and not claim.scope]
        values = [claims[n].value for n in seen]
        if len(set(values)) >= 3 and values == sorted(values):
            order = [seen[-1], *(n for n in order if n != seen[-1])]
    return order


def _same(claim: Claim, other: Claim) -> bool:
    """Whether two figures are equal within their digits: ``4k (4096 tokens)``."""
    if claim.value <= 0 or other.value <= 0:
        return claim.value == other.value
    apart = abs(math.log(claim.value / other.value))
    return apart < max(0.02, 2 * math.hypot(claim.spread.sigma, other.spread.sigma))


def _schedules(claims: Sequence[Claim]) -> dict[str, Spread]:
    """The spread of a batch or length that grows during the run: it lies between the two ends."""
    spreads = {}
    for name in ("global_batch", "global_batch_tokens", "seq_len"):
        same = [claim for claim in claims if claim.quantity == name]
        same = [claim for claim in same if not (claim.sentence != same[0].sentence and TRIED.search(claim.quote))]
        values = [claim.value for claim in same]
        if any(not _same(claim, same[0]) for claim in same):
            spreads[name] = between(min(values), max(values))
    return spreads


TRIED = re.compile(
    r"(?i)\b(?:trials?|tried|try|tests?|tested|halv(?:ed|ing|es?)|would|ablat\w*|compar\w*|instead|attempts?|experiments?|elsewhere)\b"
)
"""Words of a sentence whose batch or length was tried, and is no part of the run's schedule."""


def _memory_from_name(claims: list[Claim], facts: Sequence[Fact]) -> list[Claim]:
    """Adds the memory in the accelerator's name if the text gives no other: ``A100-80GB``."""
    said = next((fact for fact in facts if fact.name == "accelerator"), None)
    found = MEMORY_IN_NAME.search(said.quote) if said is not None else None
    if said is None or found is None or any(claim.quantity == "memory_per_gpu" for claim in claims):
        return claims
    value = 1e9 * float(found[1])
    spread_ = Spread(value, BINARY, "as the card is named")
    return [*claims, Claim("memory_per_gpu", value, spread_, found[0], said.quote, said.place, NAME_OF_CARD)]


MEMORY_IN_NAME = re.compile(r"(?<!\d)(16|24|32|40|48|64|80|94|96|128|141|180|192|256|288)[ -]?Gi?B?\b", re.IGNORECASE)


def _size_from_name(claims: list[Claim], facts: Sequence[object]) -> list[Claim]:
    """Adds the model's size from its name if the text gives no other: ``LongVILA-7B``."""
    if any(claim.quantity == "parameters" for claim in claims):
        return claims
    found = size_in_name(facts)
    return [*claims, found] if found else claims
