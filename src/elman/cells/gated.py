"""Cells of one state with a gate or two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..cell import Cell
from ..functions import sigmoid, tanh
from .activation import Activated, chosen
from .initial import orthogonal, set_bias, set_vectors


class LightGRU(Activated):
    """``h_t = z * h_{t-1} + (1 - z) * relu(W x_t + U h_{t-1} + b)``, no reset, one gate z.

    The batch normalisation of ``W x_t``, part of the paper's cell, is left out. The blocks of
    ``weight_hh`` begin as orthogonal matrices.

    Use it for speech: in the paper it recognises speech better than a GRU, with a third fewer
    weights.

    Args:
        activation: an activation in place of relu, by its name or a function.
        recurrent_activation: an activation of z in place of sigmoid.

    Raises:
        ValueError: for an unknown activation.

    Source: M. Ravanelli, P. Brakel, M. Omologo, Y. Bengio, "Light gated recurrent units for speech
    recognition", IEEE Transactions on Emerging Topics in Computational Intelligence 2 (2018).

    >>> import elman, torch
    >>> net = elman.Recurrent(LightGRU, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z", "h")
    keeps = ("z",)
    activation = chosen("activation", "relu")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = self.gate(x.z + u.z)
        return z * s.h + (1 - z) * self.candidate(self.act(x.h + u.h))

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        orthogonal(self, parameters)


class AUGRU(Cell):
    """GRU whose update gate is scaled by an attention score of each step.

    ``r`` and ``u`` are the gates of a GRU, ``n = tanh(W x_t + b + r * (U h_{t-1} + b'))`` is its
    new state. ``h_t = (1 - a u) h_{t-1} + a u n``, where the further input ``attention`` gives the
    score a, ``(T, B, 1)``. A score of 0 keeps the state, and 1 leaves the gate as it is.

    Use it for sequences of events with a score of relevance for each, such as what a user
    clicked.

    Source: G. Zhou, N. Mou, Y. Fan, Q. Pi, W. Bian, C. Zhou, X. Zhu, K. Gai, "Deep interest
    evolution network for click-through rate prediction", AAAI (2019), equations 2 to 5, 13 and 14.

    >>> import elman, torch
    >>> net = elman.Recurrent(AUGRU, 3, 4)
    >>> net(torch.rand(5, 2, 3), inputs={"attention": torch.rand(5, 2, 1)})[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("r", "u", "n")
    inputs = ("attention",)
    writes = ("u",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        r = sigmoid(x.r + u.r)
        update = self.input("attention") * sigmoid(x.u + u.u)
        n = tanh(x.n + r * u.n)
        return (1 - update) * s.h + update * self.candidate(n)


class MGU(Activated):
    """Minimal gated unit: ``h_t = (1 - f) * h_{t-1} + f * tanh(W x_t + U (f * h_{t-1}) + b)``.

    ``f = sigmoid(W_f x_t + U_f h_{t-1} + b_f)`` is forget and reset gate at once.

    Use it for what a GRU does, with a third fewer weights; the paper finds the accuracy
    comparable.

    Args:
        activation: an activation in place of tanh, by its name or a function.
        recurrent_activation: an activation of the gates in place of sigmoid.

    Raises:
        ValueError: for an unknown activation.

    Source: G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou, "Minimal gated unit for recurrent neural
    networks", International Journal of Automation and Computing 13 (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(MGU, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates: tuple[str, ...] = ("f", "h")
    writes: tuple[str, ...] = ("f",)

    def _forget(self, x: Any, u: Any, s: Any) -> Any:
        return self.gate(x.f + u.f)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        f = self._forget(x, u, s)
        return (1 - f) * s.h + f * self.candidate(self.act(x.h + self.product("h", f * s.h)))


class MGU1(MGU):
    """:class:`MGU` whose gate does not see the input: ``f = sigmoid(U_f h_{t-1} + b_f)``.

    Use it for a smaller MGU: the gate looks at the state alone.

    The arguments are those of :class:`MGU`.

    Source: J. C. Heck, F. M. Salem, "Simplified minimal gated unit variations for recurrent neural
    networks", MWSCAS (2017).

    >>> import elman, torch
    >>> net = elman.Recurrent(MGU1, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    def _forget(self, x: Any, u: Any, s: Any) -> Any:
        return self.gate(u.f)


class MGU2(MGU):
    """:class:`MGU` whose gate has no bias either: ``f = sigmoid(U_f h_{t-1})``, U_f a matrix ``f``.

    Use it for a smaller MGU: its paper finds it better than the MGU, on two data sets.

    The arguments are those of :class:`MGU`.

    Source: J. C. Heck, F. M. Salem, "Simplified minimal gated unit variations for recurrent neural
    networks", MWSCAS (2017).

    >>> import elman, torch
    >>> net = elman.Recurrent(MGU2, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("h",)
    matrices = ("f",)
    writes = ()

    def _forget(self, x: Any, u: Any, s: Any) -> Any:
        return self.gate(self.product("f", s.h))


class MGU3(MGU):
    """:class:`MGU` whose gate is learned and constant: ``f = sigmoid(b_f)``, b_f a vector ``f``.

    Use it for the smallest MGU: a unit's rate of change is learned, and the same at every step.

    The arguments are those of :class:`MGU`.

    Source: J. C. Heck, F. M. Salem, "Simplified minimal gated unit variations for recurrent neural
    networks", MWSCAS (2017).

    >>> import elman
    >>> [name for name, _ in elman.Recurrent(MGU3, 3, 4, bias=False).named_parameters()]
    ['weight_ih_l0', 'weight_hh_l0', 'weight_f_l0']
    """

    gates = ("h",)
    vectors = ("f",)

    def _forget(self, x: Any, u: Any, s: Any) -> Any:
        return self.gate(self.vector("f"))


class MinimalRNN(Cell):
    """``h_t = u * h_{t-1} + (1 - u) * z`` with ``z = tanh(W x_t + b_z)``.

    ``u = sigmoid(U_h h_{t-1} + U_z z + b_u)``; U_z is the matrix ``uz``.

    Use it for a state that stays close to the embedding of the input, and is easier to
    interpret.

    Source: M. Chen, "MinimalRNN: toward more interpretable and trainable recurrent neural
    networks", NIPS symposium on interpretable machine learning (2017).

    >>> import elman, torch
    >>> net = elman.Recurrent(MinimalRNN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("z", "u")
    matrices = ("uz",)
    keeps = ("u",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        z = tanh(x.z)
        keep = sigmoid(u.u + self.product("uz", z))
        return keep * s.h + (1 - keep) * self.candidate(z)


class UGRNN(Cell):
    """Update gate network: ``h_t = g * h_{t-1} + (1 - g) * tanh(W x_t + U h_{t-1} + b)``.

    ``g = sigmoid(W_g x_t + U_g h_{t-1} + b_g)``.

    Use it for shallow networks with few weights: its paper finds it nearly as trainable there as a
    GRU.

    Args:
        forget_bias: what the bias of the gate begins as.

    Source: J. Collins, J. Sohl-Dickstein, D. Sussillo, "Capacity and trainability in recurrent
    neural networks", ICLR (2017).

    >>> import elman
    >>> net = elman.Recurrent(UGRNN(forget_bias=2.0), 3, 2)
    >>> (net.bias_ih_l0 + net.bias_hh_l0)[:2].tolist()
    [2.0, 2.0]
    """

    gates = ("g", "c")
    keeps = ("g",)

    def __init__(self, forget_bias: float = 1.0) -> None:
        self.forget_bias = forget_bias

    def step(self, x: Any, u: Any, s: Any) -> Any:
        g = sigmoid(x.g + u.g)
        return g * s.h + (1 - g) * self.candidate(tanh(x.c + u.c))

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_bias(self, parameters, "g", self.forget_bias)


class RAN(Cell):
    """Recurrent additive network: ``c_t = i * (W x_t + b) + f * c_{t-1}``, ``h_t = tanh(c_t)``.

    i and f are sigmoids of ``W x_t + U h_{t-1} + b`` of their own.

    Use it for language models whose state should be a weighted sum of the inputs, which can be
    read off.

    Source: K. Lee, O. Levy, L. Zettlemoyer, "Recurrent additive networks", arXiv:1705.07393 (2017).

    >>> import elman, torch
    >>> net = elman.Recurrent(RAN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("i", "f", "c")
    states = ("h", "c")
    keeps = ("f",)
    writes = ("i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        c = sigmoid(x.i + u.i) * self.candidate(x.c) + sigmoid(x.f + u.f) * s.c
        return tanh(c), c


class CFN(Cell):
    """Chaos-free network: ``h_t = f * tanh(h_{t-1}) + i * tanh(W x_t + b)``.

    f and i (the paper's theta and eta) are sigmoids of ``W x_t + U h_{t-1} + b`` of their own.

    Use it for states that decay without an input and never become chaotic; language models in
    its paper.

    Source: T. Laurent, J. von Brecht, "A recurrent neural network without chaos", ICLR (2017),
    arXiv:1612.06212 (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(CFN, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("f", "i", "h")
    keeps = ("f",)
    writes = ("i",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return sigmoid(x.f + u.f) * tanh(s.h) + sigmoid(x.i + u.i) * self.candidate(tanh(x.h))


class STAR(Cell):
    """Stackable recurrent cell: ``h_t = tanh((1 - k) * h_{t-1} + k * tanh(W_z x_t + b_z))``.

    ``k = sigmoid(W_k x_t + U_k h_{t-1} + b_k)``.

    Use it for deep stacks: its gradients keep their size from layer to layer.

    Source: M. O. Turkoglu, S. D'Aronco, J. D. Wegner, K. Schindler, "Gating revisited: deep
    multi-layer RNNs that can be trained", IEEE Transactions on Pattern Analysis and Machine
    Intelligence (2021).

    >>> import elman, torch
    >>> net = elman.Recurrent(STAR, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("k", "z")
    writes = ("k",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        k = sigmoid(x.k + u.k)
        return tanh((1 - k) * s.h + k * self.candidate(tanh(x.z)))


class BRC(Cell):
    """Bistable cell: ``h_t = c * h_{t-1} + (1 - c) * tanh(W x_t + a * h_{t-1} + b)``.

    ``c = sigmoid(W_c x_t + w_c * h_{t-1} + b_c)``, ``a = 1 + tanh(W_a x_t + w_a * h_{t-1} + b_a)``,
    with vectors ``wc`` and ``wa``: a unit sees no other's state.

    Use it for very long dependencies with few weights: a unit can latch onto one of two states.

    Source: N. Vecoven, D. Ernst, G. Drion, "A bio-inspired bistable recurrent cell allows for
    long-lasting memory", PLoS ONE 16 (2021).

    >>> import elman, torch
    >>> net = elman.Recurrent(BRC, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("c", "a", "h")
    vectors = ("wc", "wa")
    keeps = ("c",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        c = sigmoid(x.c + self.vector("wc") * s.h)
        a = 1 + tanh(x.a + self.vector("wa") * s.h)
        return c * s.h + (1 - c) * self.candidate(tanh(x.h + a * s.h))


class NBRC(Cell):
    """:class:`BRC` neuromodulated: the gates c and a see all units.

    ``c = sigmoid(W_c x_t + U_c h_{t-1} + b_c)``, ``a = 1 + tanh(W_a x_t + U_a h_{t-1} + b_a)``.

    Use it for very long dependencies: like a BRC, with gates that see all units.

    Source: N. Vecoven, D. Ernst, G. Drion, "A bio-inspired bistable recurrent cell allows for
    long-lasting memory", PLoS ONE 16 (2021).

    >>> import elman, torch
    >>> net = elman.Recurrent(NBRC, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("c", "a", "h")
    keeps = ("c",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        c, a = sigmoid(x.c + u.c), 1 + tanh(x.a + u.a)
        return c * s.h + (1 - c) * self.candidate(tanh(x.h + a * s.h))


class ATR(Cell):
    """Addition and subtraction, twin gates: ``h_t = i * p + f * h_{t-1}``.

    ``p = W x_t + b_ih``, ``q = U h_{t-1} + b_hh``, ``i = sigmoid(p + q)``, ``f = sigmoid(p - q)``.

    Use it for fewer weights at two gates, which share their matrices; made for machine
    translation.

    Source: B. Zhang, D. Xiong, J. Su, Q. Lin, H. Zhang, "Simplifying neural machine translation
    with addition-subtraction twin-gated recurrent networks", EMNLP (2018).

    >>> import elman, torch
    >>> net = elman.Recurrent(ATR, 3, 4)
    >>> net(torch.rand(5, 2, 3))[0].shape  # (T, B, H)
    torch.Size([5, 2, 4])
    """

    gates = ("h",)

    def step(self, x: Any, u: Any, s: Any) -> Any:
        return sigmoid(x.h + u.h) * self.candidate(x.h) + sigmoid(x.h - u.h) * s.h


class MIRNN(Cell):
    """Multiplicative integration: ``h_t = tanh(alpha * p * q + beta_h * q + beta_x * p + b)``.

    ``p = W x_t + b_ih``, ``q = U h_{t-1} + b_hh``; alpha, ``beta_x`` and ``beta_h`` are vectors
    that begin as one. The paper's bias b is a vector ``b``, which begins as zero, and it has no
    others: ``bias=False`` gives exactly its form.

    Use it for text at the level of characters, where input and state multiply rather than add
    up.

    Source: Y. Wu, S. Zhang, Y. Zhang, Y. Bengio, R. Salakhutdinov, "On multiplicative integration
    with recurrent neural networks", NIPS (2016).

    >>> import elman, torch
    >>> net = elman.Recurrent(MIRNN, 3, 4, bias=False)  # the paper's form
    >>> net(torch.rand(5, 2, 3))[0].shape
    torch.Size([5, 2, 4])
    """

    gates = ("h",)
    vectors = ("alpha", "beta_x", "beta_h", "b")

    def step(self, x: Any, u: Any, s: Any) -> Any:
        linear = self.vector("beta_x") * x.h + self.vector("beta_h") * u.h + self.vector("b")
        return tanh(self.vector("alpha") * x.h * u.h + linear)

    def initialise(self, parameters: Mapping[str, Tensor]) -> None:
        set_vectors(parameters, alpha=1.0, beta_x=1.0, beta_h=1.0, b=0.0)
