"""Measuring the constants of this machine's GPU."""
