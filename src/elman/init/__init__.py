"""Initialisations of recurrent layers: of every gate, layer and direction inside a module.

torch.nn.init fills a tensor, and a recurrent layer's tensors hold several gates. These functions
take a module: a layer of torch.nn or elman, with any cell, or a whole model. They know which rows
belong to which gate, change them in place without a gradient, and leave all other parameters
alone. They return the module. Random numbers come from torch's generator, or ``generator``, in a
fixed order: submodules, layers, directions, weights, gates. ``elman.Recurrent`` takes them by name:

>>> import elman, torch
>>> model = torch.nn.ModuleDict({"rnn": torch.nn.LSTM(4, 8), "head": torch.nn.Linear(8, 1)})
>>> model = elman.init.orthogonal_(elman.init.forget_bias_(model, 1.0))
>>> net = elman.Recurrent(elman.cells.LSTM, 4, 8, init=("orthogonal", {"chrono": {"T_max": 100}}))
"""

from .gates import bias_ as bias_
from .gates import chrono_ as chrono_
from .gates import forget_bias_ as forget_bias_
from .gates import initial_states_ as initial_states_
from .matrices import eye_ as eye_
from .matrices import kaiming_normal_ as kaiming_normal_
from .matrices import kaiming_uniform_ as kaiming_uniform_
from .matrices import lecun_normal_ as lecun_normal_
from .matrices import orthogonal_ as orthogonal_
from .matrices import sparse_ as sparse_
from .matrices import spectral_radius_ as spectral_radius_
from .matrices import unit_norm_ as unit_norm_
from .matrices import xavier_normal_ as xavier_normal_
from .matrices import xavier_uniform_ as xavier_uniform_
from .names import apply as apply
from .schemes import flax_ as flax_
from .schemes import irnn_ as irnn_
from .schemes import keras_ as keras_
