"""The catalogue of cells: each a formula of a few lines, with its source.

Formulas are written with W for the rows of ``weight_ih`` and U for those of ``weight_hh``; b is the
sum of the biases of both. Every product has the biases of torch.nn, also where the paper has
none; a layer without biases leaves all of them out.
"""

from typing import Any

from ..cell import Cell as _Cell
from .elman import IRNN as IRNN
from .elman import Elman as Elman
from .gated import ATR as ATR
from .gated import AUGRU as AUGRU
from .gated import BRC as BRC
from .gated import CFN as CFN
from .gated import MGU as MGU
from .gated import MGU1 as MGU1
from .gated import MGU2 as MGU2
from .gated import MGU3 as MGU3
from .gated import MIRNN as MIRNN
from .gated import NBRC as NBRC
from .gated import RAN as RAN
from .gated import STAR as STAR
from .gated import UGRNN as UGRNN
from .gated import LightGRU as LightGRU
from .gated import MinimalRNN as MinimalRNN
from .gru import GRU as GRU
from .leaky import CTRNN as CTRNN
from .leaky import SCRN as SCRN
from .leaky import FastGRNN as FastGRNN
from .leaky import FastRNN as FastRNN
from .leaky import Leaky as Leaky
from .linear import LRU as LRU
from .lstm import LSTM as LSTM
from .lstm_variants import JANET as JANET
from .lstm_variants import SLSTM as SLSTM
from .lstm_variants import CoupledLSTM as CoupledLSTM
from .lstm_variants import MultiplicativeLSTM as MultiplicativeLSTM
from .lstm_variants import NASCell as NASCell
from .lstm_variants import PeepholeLSTM as PeepholeLSTM
from .memory import DeltaNet as DeltaNet
from .normalised import LayerNormGRU as LayerNormGRU
from .normalised import LayerNormLSTM as LayerNormLSTM
from .physical import LEM as LEM
from .physical import Antisymmetric as Antisymmetric
from .physical import AntisymmetricRNN as AntisymmetricRNN
from .physical import CoRNN as CoRNN
from .physical import GatedAntisymmetricRNN as GatedAntisymmetricRNN
from .physical import UnICORNN as UnICORNN
from .pointwise import QRNN as QRNN
from .pointwise import SRU as SRU
from .pointwise import IndRNN as IndRNN
from .pointwise import MinGRU as MinGRU
from .pointwise import MinLSTM as MinLSTM
from .timed import GRUD as GRUD
from .timed import LTC as LTC
from .timed import ODERNN as ODERNN
from .timed import CfC as CfC
from .timed import PhasedLSTM as PhasedLSTM

#: Every cell of this package by its name in lower case.
CATALOGUE: dict[str, type[_Cell]] = {
    name.lower(): found
    for name, found in sorted(globals().items())
    if not name.startswith("_") and isinstance(found, type) and issubclass(found, _Cell)
}


def by_name(name: str, **hyper: Any) -> _Cell:
    """The cell of the catalogue with this name, in any case, and these hyper-parameters.

    Args:
        name: that of the class, such as ``"gru"`` or ``"LEM"``.
        hyper: arguments of the class, by their names.

    Returns:
        The cell.

    Raises:
        ValueError: for a name that is not in the catalogue; the message lists them.
        TypeError: for a hyper-parameter that the cell does not have.

    >>> by_name("leaky", leak=0.5)
    Leaky(leak=0.5, nonlinearity='tanh')
    """
    found = CATALOGUE.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"name must be one of {', '.join(CATALOGUE)}, got {name!r}")
    return found(**hyper)
