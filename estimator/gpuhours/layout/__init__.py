"""The layout of a step over ranks: degrees, groups, placement on stages, validity."""
