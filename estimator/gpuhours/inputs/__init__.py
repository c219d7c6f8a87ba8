"""Text in, once, at the door: units, YAML with positions, unions, profile folders, errors, assumptions, arrays."""
