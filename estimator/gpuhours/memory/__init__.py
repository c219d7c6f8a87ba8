"""How much one accelerator holds: weights, gradients, optimiser, activations, buffers."""
