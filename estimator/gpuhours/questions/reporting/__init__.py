"""Presenting an estimate: the figures of a page, and the step as a timeline of events."""
