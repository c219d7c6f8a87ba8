"""What there is to name: accelerators, nodes, models, schemas."""
