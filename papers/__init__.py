"""Programs that make the tables of docs/results.md and docs/hardware.md, and compare them with published ones."""
