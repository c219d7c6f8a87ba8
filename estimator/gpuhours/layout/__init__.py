"""How a step is laid out over ranks: degrees, groups, placement on stages, validity."""
