"""One run: the user's input, assumptions, and every result."""
