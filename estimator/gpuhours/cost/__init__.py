"""Money, energy and carbon of GPU-hours."""
