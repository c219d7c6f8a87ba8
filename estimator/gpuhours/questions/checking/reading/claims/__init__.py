"""Reduces the figures of a run to claims: facts in words, values with their precision, one claim a quantity, sums written out."""
