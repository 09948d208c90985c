"""Layers as nodes of ONNX, while ``torch.onnx.export`` follows a module.

A formula that ONNX's RNN, LSTM or GRU computes becomes that operator: :mod:`.match` finds it out
from the graphs, by :mod:`.cells`, the operators written as cells. Any other becomes a Scan.
"""

from .layer import layer as layer
