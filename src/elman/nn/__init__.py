"""Layers and cells as torch.nn has them: same arguments, parameters and numbers."""

from .accelerate import accelerate as accelerate
from .accelerate import restore as restore
from .gru import GRU as GRU
from .gru import GRUCell as GRUCell
from .lstm import LSTM as LSTM
from .lstm import LSTMCell as LSTMCell
from .rnn import RNN as RNN
from .rnn import RNNCell as RNNCell
