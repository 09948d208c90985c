"""``elman.Recurrent`` and ``elman.RecurrentCell``: any cell as a stack of layers, or one step."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar

from torch import Tensor

from ..cell import Cell
from ..step import Step
from . import cached
from .cellmodule import (
    CellModule,
    Parameters,
    check_input,
    check_positive,
    check_sizes,
    instance,
)
from .constraints import constrain
from .inputs import read as read_inputs
from .inputs import spread
from .layers import MERGES
from .marks import given
from .messages import refusal
from .regularise import Regularisation
from .regularised import Regularised
from .stack import Asked
from .steps import Checked, StepModule, read_rows


class Recurrent(Regularised):
    """A stack of layers of any cell, with all that torch.nn's layers have, and more.

    Names, order and random numbers of the parameters are those of torch.nn (``weight_ih_l0``,
    ``bias_hh_l1_reverse``, ...); a cell's further matrices and vectors follow. Only those exist
    that the formula reads. They are drawn uniformly from ``[-1/sqrt(H), 1/sqrt(H)]``, and then
    :meth:`elman.Cell.initialise` may change them.

    Args:
        cell: a :class:`elman.Cell`, or its class. Its numbers may be changed between calls.
        input_size: features of the input, I.
        hidden_size: units of the state, H; or a sequence of them, one for each layer.
        num_layers: layers stacked; each takes the output of the one below.
        bias: whether the layers have ``bias_ih`` and ``bias_hh``.
        batch_first: input and output as ``(B, T, features)`` instead of ``(T, B, features)``;
            the states keep their shape.
        dropout: probability with which outputs of all layers but the last are set to zero in
            training.
        bidirectional: a second set of weights runs from the last step to the first (D = 2).
        proj_size: units of the first state, P, for a cell that projects it.
        merge: how the outputs of two directions become one: ``"concat"`` (D * H features),
            ``"sum"``, ``"mean"`` or ``"mul"`` (H features).
        residual: whether every layer but the first adds its input to its output.
        learn_initial: whether the initial states are learned (``initial_h_l0``, ..., zeros at
            first) where a call gives none.
        mask: holds recurrent connections at zero in every layer and direction: ``(H, H)``, row i
            column j for the connection from unit j to unit i; or any parametrization of
            ``weight_hh``, such as :class:`elman.nn.Dale`. Whole blocks of zeros take no time if
            the cell's ``masks`` name them.
        init: how the parameters begin, see :mod:`elman.init`: the name of one of its functions
            without underscore, such as ``"orthogonal"`` or ``"keras"``; a mapping of names to
            arguments, ``{"chrono": {"T_max": 100}}``; a function of the module; or a sequence of
            these, one after the other.
        recompute: whether the kernels keep the states between segments of time only for the
            gradient, and run each segment once more: less memory for long sequences, more time.
        input_dropout: probability with which features of a layer's input are set to zero in
            training, in every layer; one mask a sequence, which both directions share [1].
        state_dropout: the same of the previous state where recurrent weights read it [1].
        output_dropout: the same of the output of every layer, the last one too [1].
        recurrent_dropout: the same, with a mask a step, of what a gated cell takes into its state:
            its candidate [2]. Only for cells whose formula names one with ``self.candidate``.
        weight_dropout: the same of the elements of recurrent matrices, one mask a call [3].
        zoneout: probability with which a unit keeps its previous value at a step; in evaluation
            the expectation ``p * old + (1 - p) * new`` [4].
        state_noise: standard deviation of normal noise that is added to new states in training.
        state_clip: bounds new states to ``[-c, c]``, in evaluation too. None for no bound.
        grad_clip: bounds the gradient that arrives at a new state to ``[-c, c]`` at every step [5].
        device, dtype: of the parameters; None for torch's defaults.

    The last four are a number, or one for each state. All regularise in training mode only, but for
    the clips; each layer and direction draws masks of its own, from torch's generator. They can be
    changed between calls: ``net.zoneout = 0.2``.

    Call ``net(input, hx=None, lengths=None, inputs=None, *, reset=None, reset_to=None,
    return_states=False)`` with input ``(T, B, I)``, ``(T, I)`` or a PackedSequence, and

    - ``hx``: the initial states ``(num_layers * D, B, H)``, one tensor or a tuple of one for each
      state; for a sequence of sizes each of them is a list of ``(D, B, H)``, one for each layer;
    - ``lengths``: how many steps of each row count, ``(B,)``, in any order, 0 allowed: a list or a
      tensor of integers. The output is zero after them, and the final states are those of the
      last step; the second direction begins there.
    - ``reset``: bools ``(T, B)``, in the form of the input (``(B, T)``, ``(T,)``): True where a row
      begins anew. Before such a step its state returns to the initial one. In the second direction
      it does so after the step before, so nothing crosses a reset either way.
    - ``reset_to``: what a reset returns to instead: states in the form of ``hx``, or 0.
    - ``inputs``: the cell's further inputs by name, each ``(T, B, H)`` or ``(T, B, 1)`` in the
      form of the input (packed, if that is); every layer gets them. Booleans become 0 and 1;
    - ``return_states``: whether to return what the cell's ``step`` returns, of every layer at every
      step.

    Returns ``output``, ``(T, B, D * H)``, and the final states, in the form of ``hx``. Packed
    sequences break the graph of ``torch.compile``; ``lengths`` and ``reset`` do not.

    With ``return_states`` a third result follows: the states and then the cell's ``outputs``, one
    tensor or a tuple of several. Each is ``(num_layers * D, T, B, H)``, by layer and direction, the
    rest in the form of the input; zero where ``lengths`` end. A number of the formula is repeated
    for every unit. For a sequence of sizes each is a list of ``(D, T, B, H)``, one for each layer.
    Where the input is packed, a list of one PackedSequence for each layer and direction stands for
    that dimension.

    Raises:
        TypeError: a cell that is none; ``inputs`` of another type.
        AttributeError: input or ``hx`` that is no tensor.
        ValueError: sizes that do not go together; a probability outside of [0, 1]; an option that
            finds nothing to act on in the formula; input that is neither 2-D nor 3-D, or not of
            the weights' dtype; lengths beyond the input; ``reset`` of
            another dtype than bool, or for a PackedSequence; missing or unknown ``inputs``.
        RuntimeError: a shape that does not fit the module; a cell whose parameters have changed.

    Sources: [1] Y. Gal, Z. Ghahramani, "A theoretically grounded application of dropout in
    recurrent neural networks", NIPS (2016). [2] S. Semeniuta, A. Severyn, E. Barth, "Recurrent
    dropout without memory loss", COLING (2016). [3] S. Merity, N. S. Keskar, R. Socher,
    "Regularizing and optimizing LSTM language models", ICLR (2018). [4] D. Krueger et al.,
    "Zoneout: regularizing RNNs by randomly preserving hidden activations", ICLR (2017).
    [5] A. Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850 (2013).

    The guide is docs/guides/sequences.md.

    >>> import elman, torch
    >>> net = elman.Recurrent(elman.cells.GRU, 2, 4, num_layers=2, learn_initial=True)
    >>> output, h_n = net(torch.rand(5, 3, 2), lengths=torch.tensor([2, 5, 0]))
    >>> output.shape, h_n.shape
    (torch.Size([5, 3, 4]), torch.Size([2, 3, 4]))
    >>> _, _, h = net(torch.rand(5, 3, 2), return_states=True)
    >>> h.shape
    torch.Size([2, 5, 3, 4])
    """

    _READ: ClassVar = (
        *("input_size", "hidden_size", "proj_size", "num_layers", "bidirectional", "batch_first"),
        *("recompute", "residual", "merge"),
    )
    _options: ClassVar = attrgetter(*_READ)
    _every_option: ClassVar = attrgetter(*_READ, "_regular")

    def __init__(
        self,
        cell: Cell | type[Cell],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        proj_size: int = 0,
        merge: str = "concat",
        residual: bool = False,
        learn_initial: bool = False,
        mask: Any = None,
        init: Any = None,
        recompute: bool = False,
        input_dropout: float = 0.0,
        state_dropout: float = 0.0,
        output_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | Sequence[float] = 0.0,
        state_noise: float | Sequence[float] = 0.0,
        state_clip: float | Sequence[float | None] | None = None,
        grad_clip: float | Sequence[float | None] | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        cell = instance(owner, cell)
        dropouts = input_dropout, state_dropout, output_dropout, recurrent_dropout, weight_dropout
        options = Regularisation(*dropouts, zoneout, state_noise, state_clip, grad_clip)
        self._regular = options.check(owner, cell.states)
        check_positive(owner, "num_layers", num_layers)
        if isinstance(hidden_size, Sequence) and not isinstance(hidden_size, str):
            if num_layers not in (1, len(hidden_size)) or not hidden_size:
                raise ValueError(
                    f"{owner}: expected hidden_size to have one size for each of the {num_layers} "
                    f"layers, got {len(hidden_size)}"
                )
            hidden_size, num_layers = tuple(hidden_size), len(hidden_size)
        number = isinstance(dropout, (int, float)) and not isinstance(dropout, bool)
        if not number or not 0 <= dropout <= 1:
            raise refusal(
                ValueError,
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed",
                owner,
                "dropout between 0 and 1",
                repr(dropout),
            )
        if merge not in tuple(MERGES):
            raise ValueError(f"{owner}: merge must be one of {list(MERGES)}, got {merge!r}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first = batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        self.merge, self.residual, self.recompute = merge, residual, recompute
        self.learn_initial = learn_initial
        sets: list[Parameters] = []
        width = input_size
        each = hidden_size if isinstance(hidden_size, tuple) else (hidden_size,) * num_layers
        for layer, units in enumerate(each):
            projected = check_sizes(owner, cell, input_size, units, proj_size)
            sets += [
                Parameters(f"_l{layer}{way}", width, units, projected)
                for way in ("", "_reverse")[: self.directions]
            ]
            output = projected * (self.directions if merge == "concat" else 1)
            if residual and layer and output != width:
                raise ValueError(
                    f"{owner}: residual adds the output of layer {layer - 1} to that of layer "
                    f"{layer}, which have {width} and {output} features: give both layers one size"
                )
            check_input(owner, cell.trace(), width, units, input_size)
            width = output
        self._build(cell, sets, bias, learn_initial, device, dtype)
        if mask is not None:
            constrain(self, [names.get("weight_hh") for names in self._names], mask)
        self._initialise(init)

    @property
    def directions(self) -> int:
        return self._directions()

    def forward(
        self,
        input: Any,
        hx: Any = None,
        lengths: Any = None,
        inputs: Any = None,
        *,
        reset: Any = None,
        reset_to: Any = None,
        return_states: bool = False,
    ) -> Any:
        """All layers; the output in the form of the input, the final states in that of ``hx``; if
        it is to ``return_states``, these too, and the cell's outputs."""
        step, drawn, marks = self._step(), None, None
        if not (lengths is None and reset is None and reset_to is None):
            marks = given(input, self.batch_first, lengths, reset, reset_to)
        repeats = marks is None and inputs is None
        if self._special:
            differ = isinstance(hx, (tuple, list)) and not isinstance(self.hidden_size, int)
            repeats = repeats and not differ and not (hx is None and self.learn_initial)
            drawn = self._drawn if self.training else None
            step = step if drawn is None else drawn.step
        plain = return_states is False
        if not plain:
            step = self._full(step, return_states)
        results, found = None, cached.UNKNOWN
        if repeats:
            dropout = self.dropout if self.training else 0.0
            repeat = self._repeat if drawn is None else self._repeat_drawn
            results, found = repeat(self, step, input, hx, dropout)
            if results is not None:
                return results if plain else self._repeated_states(step, *results)
        if found[0] is None:
            named = {"lengths": lengths, "inputs": inputs, "reset": reset, "reset_to": reset_to}
            results = self._leaf(input, hx, **named, return_states=None if plain else True)
        if results is None:
            asked = Asked(input, hx, marks, inputs, not plain, drawn)
            results = self._run_layers(step, found, asked)
        return results

    def _is_special(self) -> bool:
        return super()._is_special() or self.learn_initial or type(self.hidden_size) is not int

    def extra_repr(self) -> str:
        return self._shown(
            num_layers=(self.num_layers, 1),
            bias=(self.bias, True),
            batch_first=(self.batch_first, False),
            dropout=(self.dropout, 0.0),
            bidirectional=(self.bidirectional, False),
            proj_size=(self.proj_size, 0),
            merge=(self.merge, "concat"),
            residual=(self.residual, False),
            learn_initial=(self.learn_initial, False),
            init=(self.init, None),
            recompute=(self.recompute, False),
            **self._regular.given(),
        )


class RecurrentCell(StepModule, CellModule):
    """One step of any cell. Step after step it gives the bits of :class:`Recurrent`.

    Args:
        cell: a :class:`elman.Cell`, or its class. Its numbers may be changed between calls.
        input_size: features of the input, I.
        hidden_size: units of the state, H.
        bias: whether there are ``bias_ih`` and ``bias_hh``.
        proj_size: units of the first state, for a cell that projects it.
        mask: holds recurrent connections at zero, as in :class:`Recurrent`.
        init: how the parameters begin, as in :class:`Recurrent`.
        device, dtype: of the parameters; None for torch's defaults.

    Call ``cell(input, hx=None, inputs=None, *, return_states=False)`` with input ``(B, I)`` or
    ``(I,)``. The states ``hx`` are one tensor, ``(B, H)`` or ``(H,)``, or a tuple with one for each
    state; None stands for zeros. The cell's further inputs are given by name, ``(B, H)`` or
    ``(B, 1)``. Returns the new states, as ``hx``. With ``return_states`` a second result follows,
    what the cell's ``step`` returns: the states and then its ``outputs``, one tensor or a tuple of
    several.

    Raises:
        TypeError: a cell that is none; ``inputs`` of another type; ``return_states`` that is no
            bool.
        AttributeError: input or ``hx`` that is no tensor.
        ValueError: input or ``hx`` neither 1-D nor 2-D; missing or unknown ``inputs``.
        RuntimeError: a shape or dtype that does not fit; a cell whose parameters have changed.

    The guide is docs/cells.md.

    >>> import elman, torch
    >>> h, c = elman.RecurrentCell(elman.cells.LSTM, 2, 4)(torch.rand(3, 2))
    >>> h.shape, c.shape
    (torch.Size([3, 4]), torch.Size([3, 4]))
    """

    hidden_size: int
    _options: ClassVar = attrgetter("input_size", "hidden_size", "proj_size")

    def __init__(
        self,
        cell: Cell | type[Cell],
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        proj_size: int = 0,
        mask: Any = None,
        init: Any = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        cell = instance(owner, cell)
        projected = check_sizes(owner, cell, input_size, hidden_size, proj_size)
        self.input_size, self.hidden_size, self.proj_size = input_size, hidden_size, proj_size
        check_input(owner, cell.trace(), input_size, hidden_size, input_size)
        only = Parameters("", input_size, hidden_size, projected)
        self._build(cell, [only], bias, False, device, dtype)
        if mask is not None:
            constrain(self, [names.get("weight_hh") for names in self._names], mask)
        self._initialise(init)

    def forward(
        self,
        input: Tensor,
        hx: Any = None,
        inputs: Any = None,
        *,
        return_states: bool = False,
    ) -> Any:
        """The new states, in the form of ``hx``; if it is to ``return_states``, also these and the
        cell's outputs."""
        step, drawn = self._step(), None
        results, found = None, cached.UNKNOWN
        if self._special:
            drawn = self._drawn if self.training else None
            step = step if drawn is None else drawn.step
        if return_states is not False:
            step = self._full(step, return_states)
        if inputs is None and drawn is None:
            results, found = self._repeat(self, step, input, hx)
            if results is not None:
                return results[1]
        asked = return_states is not False
        if found[0] is None:
            results = self._leaf(input, hx, inputs=inputs, return_states=asked or None)
        if results is None:
            results = self._run_step(step, found, input, hx, inputs, drawn, asked)
        return results

    def _read(self, step: Step, input: Any, hx: Any, weights: Any, inputs: Any = None) -> Checked:
        owner, (size,) = type(self).__name__, self._layer_sizes()
        first = self._check_weights(step, weights, [size])
        sizes = [size[step.space(name)] for name in step.states]
        x, states = read_rows(owner, input, hx, self.input_size, sizes, first)
        rows = (x.shape[0],) if x.dim() == 2 else ()
        further = read_inputs(
            *(owner, step, inputs, first, rows or (1,), x.dim()),
            lambda value: value if rows else value[None],
        )
        return x, states, spread(owner, step, further, (size,))[0]

    def extra_repr(self) -> str:
        return self._shown(
            bias=(self.bias, True), proj_size=(self.proj_size, 0), init=(self.init, None)
        )
