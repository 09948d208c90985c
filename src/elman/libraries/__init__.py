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
from typing import Any

from ..nn.conversions import register, when_imported

#: torchrecurrent's layers by the module that each is in.
_TORCHRECURRENT = {
    "antisymmetricrnn": ("AntisymmetricRNN", "GatedAntisymmetricRNN"),
    "atr": ("ATR",),
    "br": ("BR", "NBR"),
    "cfn": ("CFN",),
    "cornn": ("coRNN",),
    "fastrnn": ("FastRNN", "FastGRNN"),
    "indrnn": ("IndRNN",),
    "janet": ("JANET",),
    "lem": ("LEM",),
    "lightru": ("LightRU",),
    "ligru": ("LiGRU",),
    "mgu": ("MGU",),
    "minimalrnn": ("MinimalRNN",),
    "miru": ("MiRU1", "MiRU2"),
    "multiplicativelstm": ("MultiplicativeLSTM",),
    "mut": ("MUT1", "MUT2", "MUT3"),
    "nas": ("NAS",),
    "originallstm": ("OriginalLSTM",),
    "peepholelstm": ("PeepholeLSTM",),
    "ran": ("RAN",),
    "reslstm": ("ResLSTM",),
    "scrn": ("SCRN",),
    "sgrn": ("SGRN",),
    "sgu": ("SGU", "DSGU"),
    "star": ("STAR",),
    "trnn": ("TRNN",),
    "ugrnn": ("UGRNN",),
    "unicornn": ("UnICORNN",),
    "wmclstm": ("WMCLSTM",),
}

#: The layers that are taken, by the module of this package that does it.
TAKEN: dict[str, tuple[str, ...]] = {
    "neuralhydrology": ("neuralhydrology.modelzoo.ealstm.EALSTM",),
    "speechbrain": ("speechbrain.nnet.RNN.LiGRU_Layer", "speechbrain.nnet.RNN.SLiGRU_Layer"),
    "stanza": ("stanza.models.common.packed_lstm.LSTMwRecDropout",),
    "tirex": ("tirex.models.slstm.cell.sLSTMCell",),
    "torchrecurrent": tuple(
        f"torchrecurrent.cells.{file}_cell.{name}"
        for file, names in _TORCHRECURRENT.items()
        for name in names
    ),
    "xlstm": ("xlstm.blocks.slstm.cell.sLSTMCell_vanilla",),
}


class _Conversion:
    """What a module of one library becomes; imported at the first."""

    def __init__(self, home: str) -> None:
        self._home = home

    def __call__(self, module: Any) -> Any:
        try:
            home = importlib.import_module(f"{__name__}.{self._home}")
        except (ImportError, AttributeError) as error:  # of another version of the library
            return f"elman.libraries.{self._home} cannot be imported: {error}"
        return home.convert(module)


when_imported("opacus.validators", lambda: importlib.import_module(f"{__name__}.opacus"))
for _home, _names in TAKEN.items():
    for _name in _names:
        register(_name, _Conversion(_home))
