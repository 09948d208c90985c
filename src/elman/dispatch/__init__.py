"""Which path a call takes, and how it is run: executables, autograd, operators of PyTorch."""
