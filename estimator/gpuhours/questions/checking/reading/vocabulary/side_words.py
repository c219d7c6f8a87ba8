"""Words that tell why figures of the authors' own are not the run's: editable tables, one reason each.

A phrase matches whole words; one that ends in ``*`` also matches longer words (``precomput*``).
"""

from __future__ import annotations

from gpuhours.questions.checking.reading.vocabulary.run_words import phrases_of

SIDE = {
    "a hypothetical case": phrases_of("""
        first estimate, initial estimate, early estimate, original estimate, first guess, initial guess,
        foresaw, foreseen, had in mind, the plan was, the plan had, had been planned, originally meant, was to have,
        would have meant, would have been, would be needed, would be busy, would be done, would be finished, would be over,
        would be occupied, would be required, would be enough, would need,
        would take, would cost, would require, might take,
        we plan, we hope to, we intend to, one could, one would, could train, next year, next we,
         suppose, supposing, imagine, hypothetically, hypothetical, if somebody, if someone, if anyone, if one, in theory,
         is planned, are planned, will be trained, will train, will take, could have, could be trained,
        should take, next version will,
        as optional, out of the question, not going to happen,
        next model, why not, why no, what about, what if,
        if it were, were it, had it been, had they been,
        had we trained, if we had, would have seen, reachable, is achievable, we believe, would bring, might be possible,
        takes you, take you, costs you, could i, can i, do i need, would i, you can, you could, you would, you need,
        if you want to, if you have, if you need,
        if you train, if you run, how long would, do the maths, do the math, anyone, would
        let you, would have taken, would have needed, would have cost, would have required, is enough, are
        enough, is sufficient, are sufficient, suffices, suffice*, could fit, on the fly,
        and wait, expect to wait, be prepared to wait, would last, would finish, would run, would occupy, would keep, would amount,
        would add up, would come to, would correspond, machine will have, system will have, cluster will have, supercomputer will have,
        machine will be, predicts that a, predict that a, law predicts
    """),
    "data preparation": phrases_of("""
        captioning the, captioning them, captioning took, captioning cost, captioning needed, captioning :, captions took,
        re-captioning, recaptioning, labelling the, labeling the, labelling took, labeling took, transcribing the, annotating the,
        filtering the, filtering took, scoring the, rewriting the, translating the, deduplicating the, cutting shots, cutting the,
        tokenising the, tokenizing the, embedding the, cleaning the, crawling the, rendering the, simulating the,
        separate job, another job, prepared the data, preparing the data, in advance, beforehand, precomput*, pre-comput*,
        tokenizer training, tokeniser training, training the tokenizer, training the tokeniser, training a tokenizer, the tokenizer took,
        synthetic data, neural trajectories, data generation,
        generating data, to caption, to filter, to label, to tokenise, to tokenize, to transcribe, to extract features
    """),
    "experiments beside the run": phrases_of("""
        short trial, in a trial, did not help, didn't help, saved no time, made no difference,
        brought nothing, gained nothing, no gain from,
        dry run, dry runs, dress rehearsal, rehearsal, smoke test, shakedown,
        ablation, ablations, pilot, pilots, preliminary, proxy model, isoflop, isoflops, the sweep, this sweep,
        a sweep of, our sweep, sweep spans, sweep used, small-scale, hyperparameter search, hyper-parameter search,
        search for hyperparameters, we searched, searched over, reduced model, reduced models, reduced policy, reduced network,
        small copies, candidates of, a dozen
        variants,
        launches crashed, launches failed, runs crashed, runs failed, jobs crashed, jobs failed, attempts crashed, attempts failed,
        crashed launches, failed launches, crashed attempts, crashed runs, failed runs, thrown away, went off the rails, threw away,
        threw it away, started over, had to start over,
        scaled-down, scaled down, trial run, trial runs, exploratory, first attempt, first try, abandoned
        attempt, diverged at, was lost when, earlier attempts, failed attempts, abandoned, tried on the way, designing the,
        were settled with, was settled with, settled on small, with smaller models, with small models, on smaller models,
        preceded it, what preceded,
        b proxy, m proxy, proxy run, proxy runs, proxy models, proxy training, false start, false starts, dead end, dead ends,
        made an attempt, an attempt with, attempt at a, did not fit in memory, did not fit into memory, ran out of memory,
        aggregator, linear probe*, linear probing, attentive probe*, probing classifier*,
        everything that failed, including failed, in development, during development, since the first draft
    """),
    "a figure that is withdrawn": phrases_of("""
        was a typo, is a typo, were typos, was a misprint, is a misprint, was a mistake, were a mistake, should read, should have read,
        is wrong, was wrong, is incorrect, was incorrect, are wrong, were wrong,
        did not train, didn't train, never trained, was not trained on, were not trained on, did not cost, has not seen, contrary to what,
        was given as, was wrongly, erroneously, mistakenly, was misstated, had been misprinted, wrong number
    """),
    "an idle machine": phrases_of("idle servers, idle nodes, idle gpus, idle cards, when idle, in idle"),
    "an allocation": phrases_of("""
        apply for, we apply, applied for, application for, applying for,
        we asked for, in the proposal, allocation of, allocated, granted, requested, planned, budgeted, approved,
        applied for, asked for, were awarded, was awarded,
        quota of, granted us, compute grant, budget of, the budget read, the budget had, in the budget
    """),
    "what was left out": phrases_of("""
        not charged to, not charged here, charged elsewhere, charged to another, benefited several, benefitted several,
        aborted, not in there, not in it, not in this, is not part of, are not part of, not part of this, comes on top,
        come on top, on top of this, on top of that, is excluded, are excluded,
        not in these figures, not in these numbers, not in these hours, a cost of its own, cost of their own, is a separate cost,
        do not count, don't count, did not count, didn't count, don't include, left them out, leave them out, left it out, leave it out,
        none of it is, none of this is, none of that is, none of them is, none of them are, none of this happened, never happened,
        did not happen, came to nothing, nothing came of, was cancelled, was called off,
        not included, does not include, do not include, not counted here, does not enter, do not enter, is not counted,
        are not counted, not part of the, debugged, debugging
    """),
    "another machine": phrases_of("""
        last year the same, the same thing took, the same job took, the same run took, about the other cluster, about another cluster,
        different project, another project, ignore it, ignore them,
        used to do this, used to do it, used to run, used to train, used to take, previously did, if you have,
        trying to reproduce, tried to reproduce,
        did the same, does the same, do the same, on a laptop, a colleague, my colleague,
        our colleague, a friend, at home, box at home, home box,
        on the robot, on a desktop
    """),
    "adaptation": phrases_of("""
        adapt the, to adapt, fine-tune it, finetune it, chat version*, chat variant*, chat model*, instruct variant*,
        human label*, human annot*,
        reward model*, preference data, rlhf, dpo, instruction-tuned version
    """),
    "a part that others trained": phrases_of("""
        came from earlier work, comes from earlier work, taken over from, inherited from, reused from,
        not trained by us, not trained here, was trained by others, trained elsewhere, its own card, their own card,
        its own paper, their own paper
    """),
    "a part of the machine": phrases_of("""
        one replica, a replica, each replica, per replica, stood by, standby, spare, in reserve, held back
    """),
    "described elsewhere": phrases_of("""
        discussed in #, described in #, reported in #, tracked in #, covered in #, discussed elsewhere, described elsewhere,
        discussed in a separate, described in a separate, reported in a separate, discussed in another, described in another,
        has a page of its own, has its own page, has an issue of its own, its own thread, a thread of its own, a post of its own,
        its own post, its own readme, a readme of its own
    """),
    "use": phrases_of("""
        need a gpu, needs a gpu, needs one gpu, requires a gpu, fits on one, fit on one, runs on one, runs on a single, runs on a card,
        drawing a sample, to draw a sample, sampling an image, sampling a picture, sampling a video, sampling a clip, sampling takes,
        generating an image, generating a picture, generating a video, generating a clip, generating a sample, to generate an image,
        to generate a picture, to generate a video, to generate a sample, a sample takes, sampling speed, decoding takes,
        wants to use it, want to use it, who use it, who uses it, to use it, to try it, to run it,
        answers within, after int4, after int8, int4 quant*, int8 quant*, after quantiz*, after quantis*, quantized to, quantised to,
        weights fit, serving, latency, inference, deployment, at test time, per query, forecast takes, forecast then
        takes, prediction takes, rolls out to, roll out to, forecasts take, forecasts to, forecast needs, prediction needs, predictions take
    """),
}
"""Reasons why the authors' own figures are not the run's, each with its phrases."""
BESIDE_SECTIONS = {
    "adaptation": ("fine-tun", "finetun", "instruction-tun", "adapting", "downstream", "transfer"),
    "use": ("inference", "serving", "deployment", "usage", "quantiz", "quantis", "latency"),
    "evaluation": ("evaluation",),
    "experiments beside the run": ("ablation", "sweep", "pilot"),
}
"""Prefixes of words in short headings of sections that are not about the run."""
OF_MACHINES_ALONE = frozenset(
    phrases_of("""
    data preparation, another machine, use, a part of the machine, an allocation
""")
)
"""For these reasons only machines, time and money are set aside; such a sentence may still give the tokens of the run."""
