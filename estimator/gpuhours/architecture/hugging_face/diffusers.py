"""To come."""
READERS = {}
