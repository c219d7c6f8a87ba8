"""Times of single kernels and collectives."""
