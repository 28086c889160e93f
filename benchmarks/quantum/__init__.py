"""The quantum layer beside the stock classes, Aer and PennyLane: ``make bench-quantum``."""
