"""Hardware, price and grid profiles: YAML files, each figure with its unit and its source."""
