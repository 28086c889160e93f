"""A trained run as files that need neither Qiskit nor this package: the quantum layer or the whole classifier."""
