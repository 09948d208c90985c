"""The catalogue of cells: each a formula of a few lines, with its source."""

from .elman import Elman as Elman
from .gru import GRU as GRU
from .lstm import LSTM as LSTM
