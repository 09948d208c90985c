"""elman: a compiler for recurrent neural networks, for PyTorch users.

A recurrence is written once, as the formula of one step (:class:`Cell`). From it come the
reference in PyTorch operations, the gradient, and fused kernels for the processor at hand.
:class:`RNN`, :class:`LSTM`, :class:`GRU` and their cells take the place of those of ``torch.nn``;
:class:`Recurrent` makes layers of any cell.
"""

from typing import TYPE_CHECKING, Any

from . import cells as cells
from . import init as init
from . import libraries as libraries
from .cell import Cell as Cell
from .dispatch.select import set_path as set_path
from .errors import FormulaError as FormulaError
from .errors import PathError as PathError
from .exchange import from_flax as from_flax
from .exchange import from_keras as from_keras
from .exchange import from_onnx as from_onnx
from .exchange import to_flax as to_flax
from .exchange import to_keras as to_keras
from .explain import explain as explain
from .expr import where as where
from .functions import abs as abs
from .functions import clamp as clamp
from .functions import clip_gradient as clip_gradient
from .functions import cos as cos
from .functions import elu as elu
from .functions import eq as eq
from .functions import erf as erf
from .functions import exp as exp
from .functions import expm1 as expm1
from .functions import floor as floor
from .functions import gelu as gelu
from .functions import hardsigmoid as hardsigmoid
from .functions import hardswish as hardswish
from .functions import hardtanh as hardtanh
from .functions import leaky_relu as leaky_relu
from .functions import log as log
from .functions import log1p as log1p
from .functions import maximum as maximum
from .functions import minimum as minimum
from .functions import ne as ne
from .functions import relu as relu
from .functions import round_to_bfloat16 as round_to_bfloat16
from .functions import sigmoid as sigmoid
from .functions import silu as silu
from .functions import sin as sin
from .functions import softplus as softplus
from .functions import softsign as softsign
from .functions import sqrt as sqrt
from .functions import square as square
from .functions import tanh as tanh
from .loops import scan as scan
from .nn import GRU as GRU
from .nn import LSTM as LSTM
from .nn import RNN as RNN
from .nn import GRUCell as GRUCell
from .nn import LSTMCell as LSTMCell
from .nn import Recurrent as Recurrent
from .nn import RecurrentCell as RecurrentCell
from .nn import RNNCell as RNNCell
from .nn import accelerate as accelerate
from .nn import accelerated as accelerated
from .nn import freeze as freeze
from .nn import register as register
from .nn import restore as restore
from .nn import thaw as thaw
from .reductions import amax as amax
from .reductions import layer_norm as layer_norm
from .reductions import mean as mean
from .reductions import softmax as softmax
from .reductions import sum as sum
from .reductions import take as take
from .streaming import Stream as Stream
from .streaming import windows as windows
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .artefact.files import export as export
else:  # type checkers would take any name for one that is there

    def __getattr__(name: str) -> Any:
        """What few programs need is loaded when it is asked for."""
        if name == "export":
            from .artefact import export

            return export
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*globals(), "export"]
