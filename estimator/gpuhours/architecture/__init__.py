"""Model architectures as lists of operators, with exact parameter counts."""

from gpuhours.architecture.model_spec import ModelSpec, read_model

__all__ = ["ModelSpec", "read_model"]
