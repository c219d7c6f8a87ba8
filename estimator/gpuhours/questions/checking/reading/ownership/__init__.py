"""Decides who a figure belongs to: a run of the authors, another model, something beside the run, or nobody."""
