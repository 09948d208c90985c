"""Kernels beside tensors: compiled passes are prepared for tensors and called with them."""
