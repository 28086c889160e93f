"""IBM quantum hardware through qiskit-ibm-runtime."""
