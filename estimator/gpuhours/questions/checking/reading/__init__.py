"""Turns text into claims: format marks, words and numbers, tables, prose, and which run each figure belongs to."""
