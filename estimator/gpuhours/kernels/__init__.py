"""How long one kernel or collective takes."""
