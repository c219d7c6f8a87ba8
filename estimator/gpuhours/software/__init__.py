"""Training stacks: what one does with an operator, a message, a step and memory."""
