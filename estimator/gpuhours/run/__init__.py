"""One run: what its user wrote, what was assumed, and every result that follows."""
