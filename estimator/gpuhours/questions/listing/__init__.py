"""Lists of what can be named: accelerators, nodes, models, schemas."""
