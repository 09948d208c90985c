"""Layers and cells as torch.nn has them: same arguments, parameters and numbers."""

from .rnn import RNN as RNN
from .rnn import RNNCell as RNNCell
