"""What is trained: architectures as operators, exact to the parameter."""

from gpuhours.architecture.block import ModelSpec, read_model

__all__ = ["ModelSpec", "read_model"]
