"""Finds names of models and runs: ``Marlin-34B``, ``phase two``, ``the 3B model``, and which of them are the authors' own."""
