"""elman: a compiler for recurrent neural networks, for PyTorch."""

__version__ = "0.1.0"
