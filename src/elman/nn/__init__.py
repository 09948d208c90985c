"""Layers and cells as torch.nn has them, with its arguments, parameters and numbers; and the same
of any cell."""

from .accelerate import accelerate as accelerate
from .accelerate import restore as restore
from .constraints import Dale as Dale
from .constraints import Mask as Mask
from .conversions import register as register
from .freeze import freeze as freeze
from .freeze import thaw as thaw
from .gru import GRU as GRU
from .gru import GRUCell as GRUCell
from .inside import accelerated as accelerated
from .lstm import LSTM as LSTM
from .lstm import LSTMCell as LSTMCell
from .recurrent import Recurrent as Recurrent
from .recurrent import RecurrentCell as RecurrentCell
from .rnn import RNN as RNN
from .rnn import RNNCell as RNNCell
