"""Circuits and noise models that error mitigation runs: folded, twirled, and those that calibrate the readout."""
