"""Cost, energy and carbon of GPU-hours."""
