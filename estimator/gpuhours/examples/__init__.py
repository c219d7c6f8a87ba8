"""Run files to begin with."""
