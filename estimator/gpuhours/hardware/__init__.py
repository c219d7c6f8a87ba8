"""Hardware: accelerators, nodes and clusters with sources for every figure, kernel constants, number formats."""
