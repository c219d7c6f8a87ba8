"""The estimate of one run: every result with its range, advice, totals over stages."""
