"""Circuits, their exact and sampled expectation values with gradients, and the torch layer."""
