"""Weights of other frameworks' recurrent layers, both ways. None of them is imported: what comes
and goes are arrays."""

from .flax import from_flax as from_flax
from .flax import to_flax as to_flax
from .keras import from_keras as from_keras
from .keras import to_keras as to_keras
