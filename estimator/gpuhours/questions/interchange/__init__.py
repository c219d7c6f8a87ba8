"""Layouts of other people's training code: their files read into a run, and a run written as their files."""
