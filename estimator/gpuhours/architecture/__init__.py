"""What is trained: architectures as operators, exact to the parameter."""
