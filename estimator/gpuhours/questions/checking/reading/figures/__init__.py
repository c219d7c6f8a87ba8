"""Splits a line into words and figures: a number, its unit, what it is per, how exact it is; decides nothing about their meaning."""
