"""Words that decide who a figure belongs to: editable tables, one idea each, with phrases separated by commas.

A phrase matches whole words; one that ends in ``*`` also matches longer words (``precomput*``).
"""

from __future__ import annotations

import functools
import re


def phrases_of(text: str) -> tuple[str, ...]:
    """The phrases of a table, which commas separate."""
    return tuple(" ".join(phrase.split()) for phrase in text.split(","))


TOTALS = frozenset(
    phrases_of("""
    total, totals, sum, overall, altogether, all, together, combined, cumulative, aggregate, gesamt, σ, ∑
""")
)
"""First words of a row or sentence that adds up the others."""
OVER_RUNS = """
    altogether, adds up, add up, adding up, added up, sum of, all sizes, all models, all runs, all stages, all legs, all
    parts, all phases, both stages, both phases, all three, all four, both
    models, both runs, combined, together, cumulative, cumulatively, aggregate, the whole family, whole project, entire family,
    summed, in sum, trainings, the two come, the three come, the two amount, the three amount,
    base models needed, all told, all of them, whole pipeline, entire pipeline, full pipeline, complete pipeline, whole recipe,
    entire recipe, everything together, all steps together, all parts together
"""
SUMMED_OVER_RUNS = phrases_of(OVER_RUNS)
"""In a sentence with one of these phrases, hours, energy or cost are the sum of all runs, even if one run has been named."""
SUMMED_UP = phrases_of("in total, total, in all, overall," + OVER_RUNS)
"""The same, if no run has been named."""
GENERIC_HEADS = frozenset([""]).union(
    phrases_of("""
    value, values, description, setting, settings, details, detail, amount, number, info, information, answer, config,
    configuration, parameter value, specification, spec, content, property, result, figure, entry, data, what, how much
""")
)
"""Headers that do not name a run."""
DATA_HEADS = frozenset(
    phrases_of("""
    split, splits, language, languages, source, sources, subset, domain, dataset, data set, corpus, set, category, cause, reason,
    failure, error,
    benchmark, task, metric, variant, variants, ablation, experiment
""")
)
"""Headers of columns that do not list runs: parts of the data, causes of stops, variants of an ablation."""
DERIVED = (
    "lora",
    "quant",
    "awq",
    "gptq",
    "distil",
    "instruct",
    "chat",
    "sft",
    "dpo",
    "tuned",
    "adapter",
    "post-train",
    "posttrain",
    "extension",
    "anneal",
    "alignment",
    "rlhf",
    "ppo",
    "cooldown",
    "cool-down",
    "reinforcement",
)
"""Parts of names of runs that start from a finished model: the amounts that the whole family read do not apply to them."""
MACHINE_HEADS = phrases_of("""
    gpu, hardware, accelerator, device, chip, machine, card, system, platform
""")
"""Parts of the headers over the machines that runs used."""
COMPARISONS = phrases_of("""
    prior efforts, prior approaches, earlier efforts, previous efforts, existing models, previous models, other
    groups, for comparison, for the sake of comparison, for scale, by comparison, in comparison, for reference, by contrast, in
    contrast,
    is reported at, are reported at, was reported at, reported at, reportedly, prior work, previous work, other models, others
    fare, the bar to clear, bar to beat, yardstick, competitors, are said to, is said to, rumour*, rumor*, reputedly,
    allegedly, back in, old record, previous record, previous best, baseline, baselines, rival, rivals, competitor, their
    paper, its paper, related work, related works, related efforts, related models, other efforts,
    the authors' own, numbers of, figures of, copied from, taken from, as reported in, their report, as published by,
    beside, published figures for, others report*, others have, others achieve*, others reach*, others claim*, others quote*, others saw,
    last year's, previous year's, winning system, winning entry, winner of, previous winner,
    as reported, we compare with, we compare to, we compare against, compare dense, as its authors report,
    theirs, next door, another group, another team, another lab, another laboratory, a different group, a different team,
    a different lab, reviewers ' estimate*, reviewer's estimate*, colleagues trained, colleagues needed,
    colleagues report*, others see, others need*, others spent, others trained, other teams, other labs, other papers,
    for perspective, in perspective,
    by way of comparison, as a comparison, as a matter of comparison, for orientation,
    stated to, by their developers, by its developers, by their authors, by its authors, account of its authors,
    account of their authors, published budgets, published runs, competing systems, competing models, competing recipe, competing model,
    competing approach, competing run, competing network, colleague's, colleagues', reference models,
    someone did that, somebody did that, someone else did, somebody else did,
    your draft, your application, your proposal, your plan, your paper, your estimate,
    prev, other systems, as for others, took somebody else, cost somebody else,
    published elsewhere, reported elsewhere, published values, literature values, in the literature
""")
"""Phrases after which figures belong to someone else, until the authors refer to themselves again."""
OWN_BASELINES = phrases_of(
    "baseline of chapter, baseline of section, our baseline, our own baseline, our baselines, baseline of this"
)
"""Baselines that the authors trained themselves."""
OPENINGS = phrases_of("""
    prior efforts, prior approaches, prior work, prior models, earlier efforts, earlier work, previous efforts, previous work,
    existing models, previous models, other groups, other models, competitors, related models, related efforts
""")
"""Phrases in the first sentence of a paragraph about others."""
SEVERAL = phrases_of("""
    seeds, folds, stages, phases, sizes, variants, models, agents, networks, tasks, games, runs, ablation*, experiments, sweep*,
    configurations, baseline*, stage, phase, per game, per task, per fold, for comparison, at home
""")
"""Words of a text that is about more than one training."""
AGAINST = phrases_of(
    "compared to, compared with, versus, unlike, whereas, as opposed to, in contrast to, against the, rather than the"
)
"""Phrases after which figures in the sentence belong to someone else; figures before them do not."""
MEASURES = (
    *AGAINST,
    *phrases_of(
        "in comparison with, in comparison to, by comparison with, relative to, against, next to, beside, than"
    ),
)
"""Phrases directly before the name of a model that the run is only compared with."""
RANKED_BY = frozenset(phrases_of("below, above, than, as, like, behind, beyond, beside, under, over, against"))
"""Words before ``its teacher`` or ``the larger``, which is then only what something is ranked by; before a full name most mean more."""
NEAR = 4
"""The most items from a name or a noun back to the word that leads it."""
OURSELVES = frozenset(
    phrases_of("""
    we, our, ours, us, this, here, today
""")
)
"""Words with which the authors refer to their own run."""
BASES = frozenset(
    phrases_of("""
    from, initialised, initialized, on, off, based, atop, starting, weights, checkpoint, warm-started, distilled, using,
    of, with,
    by, tokenizer, over, backbone, encoder, tower, than, like, as, at
""")
)
"""Words that make the name after them a part of the run or a comparison, and not the subject."""
PREDECESSORS = frozenset(
    phrases_of("""
    older, old, original, vanilla, previous, predecessor, earlier, former, preceding, last, rival,
    competing, comparable, similar, similarly,
    contemporary, popular
""")
)
"""Words that make the name after them an earlier or another model, even of the same family."""
TIMES_PAST = frozenset(phrases_of("night, day, week, month, year, spring, summer, autumn, winter"))
"""Words of time that cancel a predecessor word before them: ``last night Tern-7B``."""
CONTINUED = frozenset(
    phrases_of("continue, continues, continued, continuing, extend, extends, extending, adapt, adapts, adapting")
)
"""Words before the name of the model that a run continues from."""
PRONOUNS = frozenset(
    phrases_of("""
    it, its, this, that, they, their, these, he, she, which, there, one
""")
)
"""First words of a sentence that continues the topic of the last one."""
SIZES = {
    "largest": -1,
    "biggest": -1,
    "big": -1,
    "flagship": -1,
    "large": -1,
    "larger": -1,
    "bigger": -1,
    "smaller": 0,
    "smallest": 0,
    "small": 0,
    "tiny": 0,
    "middle": 1,
    "medium": 1,
    "mid-sized": 1,
    "teacher": -1,
    "student": 0,
}
"""Sizes named by rank: the index in the list of runs sorted by size (-1: the last)."""
OURS_IN_NAMES = phrases_of("""
    ours, this work, this paper, proposed, this one, this model, this run
""")
"""Words in a row's name that mark it as the authors' own among other people's rows."""
IN_ORDER = phrases_of("""
    respectively, in the above order, in the above sequence, in the same sequence,
    in the order of the columns, in the order of the rows, in the order of the table, in column order, in table order,
    depending on size, depending on the size, depending on their size, in the order given, in the order named,
    in order of size, in this order, in that order, in the same order, in turn, in order, correspondingly
""")
"""Phrases that match the lists of a sentence item by item."""
ALL_OF_THEM = re.compile(
    r"\b(?:two|three|four|five|both|all|\d)\s+(?:models|sizes|runs|variants|stages|phases|networks|versions)\b|\bthe models\b"
)
"""``The two models saw 4T and 5T tokens``: a list with as many figures as there are runs is in the order of the runs."""
STAGES = re.compile(
    r"(?:stage|phase|step|part|leg|round|run|period|stint)[\s-]*(?:\d{1,2}|[ivx]{1,4}\b|one|two|three|four|five|[a-d]\b)",
    re.IGNORECASE,
)
"""Names of the parts of one training."""
ORDINALS = frozenset(phrases_of("first, second, third, fourth, fifth, final, last, initial, 1st, 2nd, 3rd, 4th"))
PARTS_OF_TRAINING = frozenset(phrases_of("stage, phase, part, round, run, leg, period, half"))
EVERY_STAGE = frozenset(
    phrases_of("""
    the, this, that, these, those, each, every, both, all, any, our, its, their, such, same, single, whole, entire, training,
    full, complete, per, next, previous, other, another, earlier, later, current, one, two, three, four, five, six, and, for, which, with,
    early, late, of, in, on, at, to, by, from, as, main, separate, different, additional, further, new, last, multi, three-, two-
""")
)
"""Words before ``stage`` that do not name it."""
VARIANTS = frozenset(
    phrases_of("""
    big, base, small, large, tiny, medium, mini, huge, larger, smaller, biggest, smallest, largest, student, teacher,
    dense, sparse
""")
)
COMPONENTS = frozenset(
    phrases_of("""
    tokenizer, tokeniser, world model, video decoder, image decoder, autoencoder, vae, vocoder, upsampler, upscaler, prior, student,
    teacher, actor, critic, policy, draft model, retriever, generator, discriminator, codec, super-resolution
""")
)
"""Parts of a system that are trained separately."""
VARIED = frozenset(
    phrases_of(
        "model, models, transformer, variant, version, network, configuration, config, run, one, ones, sibling, size"
    )
)
"""``the big Transformer``, ``the smaller one``: nouns that follow a word of size or kind."""
COMMON = frozenset(
    phrases_of("""
    model, base, large, small, medium, tiny, huge, chat, instruct, with, without, from, stage, phase, number, training, total,
    first, second, third, gpus, steps, tokens, days, hours, cards, servers, nodes, warm-up, warmup, data, full, main, final,
    early, late, long, short, video, image, text, high, quality
""")
)
"""Words in a run's name that do not identify it on their own."""
DATA_NAMES = phrases_of("""
    corpus, corpora, pages, dataset, data set, crawl, subset, images, pictures, documents, filtered, deduplicated, books,
    captions, clips, videos, high-resolution, shards, benchmark, tokens of, split
""")
"""Words after a name that make it the name of a data set."""
DATA_STEMS = phrases_of("""
    crawl, scrape, dump, web, corpus, data, wiki, book, pile, stack, set, text, mix, laion, caption, code, cifar, mnist, imagenet,
    coco, squad, gsm, mmlu, glue, aime, humaneval, librispeech, kinetics
""")
"""Parts of names of data sets."""
NOT_MODELS = frozenset(
    phrases_of("""
    zero, stage, phase, table, figure, section, step, cuda, apache, dgx, top, pass, level, adam, flash, flashattention, fp, bf,
    int, tf, hbm, pcie, sxm, nvlink, version, part, trace, job, node, licence, license, cc, python, beta, eu, us, north, europe,
    west, east, zone, rank, covid, appendix, equation, eq, fig, ref
""")
)
"""Stems of words with a number that are not models."""


NO_NAMES = frozenset(
    phrases_of("""
    the, our, this, that, a, an, each, both, all, we, for, its, their, one, another, these, those, every, while, with, on, from, of,
    in, at, to, by, and, or, as, training, pretraining, using, only, about, over, under, roughly, nearly, first,
    second, third, final, then, touches, touch, uses, use, activates, sees, reads, takes, has, needs, beats, is, was, costs, holds,
    weighs, counts, comprises, contains, stores, keeps, saw, read, took, had, used
""")
)
"""Words before a size that are not a name, capitalised or not."""


def is_total(name: str) -> bool:
    """Whether a row's name says that it adds up the others."""
    words = re.findall(r"[a-zσ∑]+", name.lower())
    return bool(words) and words[0] in TOTALS and len(words) <= 5


@functools.lru_cache(maxsize=8192)
def holds(text: str, phrases: tuple[str, ...]) -> bool:
    """Whether a lower-case text has one of the phrases as whole words; a phrase that ends in ``*`` may be a prefix of a word."""
    return any(stem in text and whole.search(text) is not None for stem, whole in _whole_words(phrases))


def compares(text: str) -> bool:
    """Whether a lower-case text introduces other people's figures; a baseline of the authors' own is not one."""
    text = text.replace("the others", "")  # the first stage has 64 GPUs, the others have 128
    told = holds(text, COMPARISONS) or REPORTED_BY_OTHERS.search(text) is not None
    return told and not holds(text, OWN_BASELINES)


REPORTED_BY_OTHERS = re.compile(
    r"(?<!our )\b(?:team|folks|people|group|authors|developers|makers|creators|researchers|company|lab)\b(?: [\w'-]+){0,4}?"
    r" (?:states?|stated|reports?|reported|publish|publishes|published|mentions?|mentioned|claims?|claimed|quotes?|quoted|announced)\b"
)
"""``The Fenwick folks published``, ``the team behind Handspan states``: people who are not the authors, and a verb of reporting."""


@functools.cache
def _whole_words(phrases: tuple[str, ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each phrase as plain text, for a quick test, and as a pattern of whole words."""
    stems = [(phrase.rstrip("*"), "" if phrase.endswith("*") else "(?![a-z])") for phrase in phrases]
    return tuple((stem, re.compile(rf"(?<![a-z]){re.escape(stem)}{end}")) for stem, end in stems)


_BESIDE_A_RUN = re.compile(
    r"(?:(?:offline |online |automatic |human |model |downstream |periodic )?eval(?:uation)?s?"
    r"|inference|ablations?|(?:preliminary |failed |other |small )?"
    r"experiments?"
    r"|preliminary|debugging|failed|failures?|false starts?|dead ends?|(?:test|failed|trial|debug|aborted|crashed) runs?"
    r"|data (?:generation|preparation|processing|collection|cleaning|annotation|labell?ing|pipeline|acquisition|storage)"
    r"|annotations?|labell?ing|storage|egress|backups?|salar(?:y|ies)|staff|people|serving|deployment|hosting|demo"
    r"|tokeni[sz]ation|pre-?processing|profiling|benchmark(?:s|ing)?|hyper-?parameter (?:search|tuning|sweeps?)|sweeps?|pilots?)\b",
    re.IGNORECASE,
)
"""Patterns for the start of names of rows and items that are not about the run."""


def about_something_else(name: str) -> str:
    """What a row or item is about if its name shows that it is not about the run; empty otherwise."""
    return name.lower() if _BESIDE_A_RUN.match(name) else ""
