"""Loading of images, beside torchvision: ``python -m benchmarks.data``."""
