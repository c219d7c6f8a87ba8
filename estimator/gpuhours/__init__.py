"""gpuhours: what a training run costs, and how that is known."""
