"""The parallel layout of a step: degrees, communication groups, placement on pipeline stages, validity."""
