"""Layers and cells as torch.nn has them: same arguments, parameters and numbers."""

from .accelerate import accelerate as accelerate
from .accelerate import restore as restore
from .rnn import RNN as RNN
from .rnn import RNNCell as RNNCell
