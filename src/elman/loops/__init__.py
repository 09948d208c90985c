"""Loops over time whose body is written with modules and functions of PyTorch."""

from .scan import scan as scan
