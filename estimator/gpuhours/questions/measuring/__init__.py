"""Constants of the GPU at hand."""
