"""The commands: estimate, plan, sweep, compare, validate, check, reproduce, measure, list."""
