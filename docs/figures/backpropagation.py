"""Pictures of learn/backpropagation.md."""

import torch
from matplotlib.figure import Figure

import elman

from . import style


def reach() -> Figure:
    """How large the gradient is at each step, for three factors of the recurrent matrix."""
    figure, axes = style.axes(height=3.2)
    for factor, dashes in ((0.5, "-"), (1.0, "--"), (1.5, ":")):
        torch.manual_seed(0)
        rnn = elman.RNN(input_size=8, hidden_size=32)
        torch.nn.init.orthogonal_(rnn.weight_hh_l0, gain=factor)
        inputs = (0.1 * torch.randn(50, 1, 8)).requires_grad_()
        (slope,) = torch.autograd.grad(rnn(inputs)[1].sum(), inputs)
        norms = slope[:, 0].norm(dim=1).tolist()
        axes.semilogy(range(1, 51), norms, dashes, label=f"$\\times${factor:g}")
    axes.set(xlabel="$t$", ylabel="$\\|\\partial L\\, /\\, \\partial x_t\\|$")
    axes.legend(frameon=False)
    return figure
