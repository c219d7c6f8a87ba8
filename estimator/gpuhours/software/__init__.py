"""Training stacks: how each runs operators, communicates and uses memory."""
