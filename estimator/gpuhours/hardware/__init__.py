"""Machines: accelerators, nodes and clusters with every figure's source, kernel constants, number formats."""
