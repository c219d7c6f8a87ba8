"""How accelerators are named in prose: their model numbers."""

MODEL_NUMBER = r"[A-Z]{1,3}\d{2,4}[A-Z]?"
"""The model number in the name of an accelerator, as a pattern: ``H100``, ``MI250X``, ``A100`` of ``A100s``."""
