"""What is trained: architectures as operators, exact to the parameter."""

from gpuhours.architecture.model_spec import ModelSpec, read_model

__all__ = ["ModelSpec", "read_model"]
