"""What the quantum layer costs: timed by ``python -m benchmarks.quantum``, counted by the tests."""
