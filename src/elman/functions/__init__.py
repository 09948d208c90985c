"""The functions of a formula.

All work unit by unit, on symbolic values, numbers and tensors. They have the values and gradients
of PyTorch's functions of the same names, also at a kink.

>>> import torch
>>> softplus(torch.tensor([0.0, 30.0]))
tensor([ 0.6931, 30.0000])
"""

from .activations import elu as elu
from .activations import gelu as gelu
from .activations import hardsigmoid as hardsigmoid
from .activations import hardswish as hardswish
from .activations import hardtanh as hardtanh
from .activations import leaky_relu as leaky_relu
from .activations import silu as silu
from .activations import softplus as softplus
from .activations import softsign as softsign
from .primitives import abs as abs
from .primitives import clamp as clamp
from .primitives import clip_gradient as clip_gradient
from .primitives import cos as cos
from .primitives import eq as eq
from .primitives import erf as erf
from .primitives import exp as exp
from .primitives import expm1 as expm1
from .primitives import floor as floor
from .primitives import log as log
from .primitives import log1p as log1p
from .primitives import maximum as maximum
from .primitives import minimum as minimum
from .primitives import ne as ne
from .primitives import relu as relu
from .primitives import round_to_bfloat16 as round_to_bfloat16
from .primitives import sigmoid as sigmoid
from .primitives import sin as sin
from .primitives import sqrt as sqrt
from .primitives import square as square
from .primitives import tanh as tanh
