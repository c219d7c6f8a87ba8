"""Divides a text into its runs by names, lists, phases, jobs and arithmetic, and gives each run its figures."""
