"""How trained weights bear noise: sources, strengths, shots, placements and devices, on whole test sets."""
