"""Predicted against measured: the rows of a table, judged."""
