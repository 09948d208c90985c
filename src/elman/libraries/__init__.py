"""Recurrent layers of other libraries, computed by elman's kernels.

:func:`elman.accelerate` takes them as it takes torch.nn's: a module changes to a subclass of its
class, and keeps its parameters, its hooks and its place. Where kernels do not run (another device,
a transform, ``torch.compile``), the library's own code does. No library is imported before a
module of it is met; one whose code is not that which elman's was compared with is left alone.

Opacus, which looks layers up by their class, is told of elman's when a model is accelerated after
``import opacus``, or by ``import elman.libraries.opacus``.

To leave a class alone: ``elman.register("speechbrain.nnet.RNN.LiGRU_Layer", None)``.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

from ..nn.conversions import register, when_imported

#: torchrecurrent's layers: the module of each, and the digest of its code in torchrecurrent 0.2.5,
#: see :func:`.taken.changed`.
TORCHRECURRENT = {
    "AntisymmetricRNN": ("antisymmetricrnn", "dd5f531a6800"),
    "GatedAntisymmetricRNN": ("antisymmetricrnn", "ba9d76d89097"),
    "ATR": ("atr", "4c234a72a515"),
    "BR": ("br", "05746458cb4e"),
    "NBR": ("br", "6c25112f623f"),
    "CFN": ("cfn", "53317fbd92c8"),
    "FastRNN": ("fastrnn", "dafbd0e1f37d"),
    "FastGRNN": ("fastrnn", "831fb02215b6"),
    "IndRNN": ("indrnn", "6d072a623d7f"),
    "LiGRU": ("ligru", "6c7dd39f15c5"),
    "LightRU": ("lightru", "9ad0b6487cbf"),
    "MGU": ("mgu", "ec78cf3e1972"),
    "MinimalRNN": ("minimalrnn", "0c861241c31a"),
    "MiRU1": ("miru", "d973fce4c013"),
    "MiRU2": ("miru", "f860aa3e9ae7"),
    "MUT1": ("mut", "9bb71b97cc69"),
    "MUT2": ("mut", "6cbf22ba0698"),
    "MUT3": ("mut", "a03701d7d351"),
    "SGRN": ("sgrn", "361fe55af109"),
    "SGU": ("sgu", "f0295e9eb7d6"),
    "DSGU": ("sgu", "85b261889b28"),
    "STAR": ("star", "0d76a5565202"),
    "TRNN": ("trnn", "e6f4f10f1c16"),
    "UGRNN": ("ugrnn", "e71925928228"),
    "coRNN": ("cornn", "01122fa91c0f"),
    "JANET": ("janet", "5cf58ee18715"),
    "LEM": ("lem", "8a0c81a73a52"),
    "MultiplicativeLSTM": ("multiplicativelstm", "84ed7ce0ab84"),
    "NAS": ("nas", "aac49d161f72"),
    "OriginalLSTM": ("originallstm", "9974002eee43"),
    "PeepholeLSTM": ("peepholelstm", "f07e6c7206c9"),
    "ResLSTM": ("reslstm", "65ff1563b4ac"),
    "RAN": ("ran", "5a1978f5b561"),
    "SCRN": ("scrn", "692994ec24d5"),
    "UnICORNN": ("unicornn", "180e042b1063"),
    "WMCLSTM": ("wmclstm", "dd407a19b59d"),
}

#: The layers that are taken, by the module of this package that does it.
TAKEN: dict[str, tuple[str, ...]] = {
    "neuralhydrology": ("neuralhydrology.modelzoo.ealstm.EALSTM",),
    "speechbrain": ("speechbrain.nnet.RNN.LiGRU_Layer", "speechbrain.nnet.RNN.SLiGRU_Layer"),
    "stanza": ("stanza.models.common.packed_lstm.LSTMwRecDropout",),
    "tirex": ("tirex.models.slstm.cell.sLSTMCell",),
    "torchrecurrent": tuple(
        f"torchrecurrent.cells.{file}_cell.{name}" for name, (file, _) in TORCHRECURRENT.items()
    ),
    "xlstm": ("xlstm.blocks.slstm.cell.sLSTMCell_vanilla",),
}


def _convert(home: str, module: Any) -> Any:
    """What a module of a library becomes, as the module ``home`` of this package says."""
    try:
        converting = importlib.import_module(f"{__name__}.{home}")
    except (ImportError, AttributeError) as error:  # of another version of the library
        return f"elman.libraries.{home} cannot be imported: {error}"
    return converting.convert(module)


when_imported("opacus.validators", lambda: importlib.import_module(f"{__name__}.opacus"))
for _home, _names in TAKEN.items():
    for _name in _names:
        register(_name, partial(_convert, _home))
