"""Recurrent layers of other frameworks: weights of Keras' and Flax', both ways, and those of ONNX's
nodes. None of them is imported before it is needed; of Keras and Flax come arrays alone."""

from .flax import from_flax as from_flax
from .flax import to_flax as to_flax
from .keras import from_keras as from_keras
from .keras import to_keras as to_keras
from .onnx import from_onnx as from_onnx
