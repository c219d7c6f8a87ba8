"""Reading input: units, YAML with positions, unions, profile folders, errors, assumptions, arrays."""
