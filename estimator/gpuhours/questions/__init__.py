"""What is asked of runs: estimate, plan, sweep, compare, validate, check, reproduce, measure, list."""
