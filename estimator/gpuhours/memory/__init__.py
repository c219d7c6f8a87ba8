"""Memory on one accelerator: weights, gradients, optimiser states, activations, buffers."""

from gpuhours.memory.advice import Way, longest_sequence, ways_to_fit
from gpuhours.memory.held import Memory
from gpuhours.memory.peak import memory

__all__ = ["Memory", "Way", "longest_sequence", "memory", "ways_to_fit"]
