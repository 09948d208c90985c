"""elman: a compiler for recurrent neural networks, for PyTorch users.

A recurrence is written once, as the formula of one step (:class:`Cell`). From it come the
reference in PyTorch operations, the gradient, and fused kernels for the processor at hand.
:class:`RNN` and :class:`RNNCell` take the place of those of ``torch.nn``.
"""

from . import cells as cells
from .cell import Cell as Cell
from .errors import FormulaError as FormulaError
from .errors import PathError as PathError
from .explain import explain as explain
from .expr import exp as exp
from .expr import maximum as maximum
from .expr import minimum as minimum
from .expr import relu as relu
from .expr import sigmoid as sigmoid
from .expr import sqrt as sqrt
from .expr import tanh as tanh
from .expr import where as where
from .nn import RNN as RNN
from .nn import RNNCell as RNNCell
from .nn import accelerate as accelerate
from .nn import restore as restore
from .paths import set_path as set_path
from .reductions import layer_norm as layer_norm
from .reductions import mean as mean

__version__ = "0.1.0"
