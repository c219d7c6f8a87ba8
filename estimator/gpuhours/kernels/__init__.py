"""Time of a single kernel or collective."""
