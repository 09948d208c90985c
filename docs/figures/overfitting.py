"""Pictures of learn/overfitting.md."""

import torch
from matplotlib.figure import Figure

import elman

from . import style


def masks() -> Figure:
    """Which units are dropped at each step, and from which step zoneout's values are."""
    figure, axes = style.axes(columns=3, width=7.0, height=2.6)
    torch.manual_seed(0)
    per_step = torch.rand(8, 20) >= 0.2
    zoned = torch.rand(8, 20) < 0.5
    age = torch.zeros(8, 20)
    for t in range(1, 20):
        age[:, t] = torch.where(zoned[:, t], age[:, t - 1], t)
    for on, values, title in (
        (axes[0], per_step, "a mask a step"),
        (axes[1], per_step[:, :1].expand(-1, 20), "a mask a sequence"),
        (axes[2], age, "zoneout: the value is of step"),
    ):
        on.imshow(values.double().tolist(), cmap="Blues", aspect="auto", vmin=0, alpha=0.8)
        on.set(title=title, xlabel="$t$", yticks=[])
        on.title.set_size(10)
        on.set_xticks([0, 9, 19], ["1", "10", "20"])
    axes[0].set_ylabel("units")
    return figure


def _data(size: int, seed: int, wrong: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences that are positive if the mean of their first feature is, with wrong labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(20, size, 4, generator=generator, dtype=torch.float64)
    flipped = torch.rand(size, generator=generator, dtype=torch.float64) < wrong
    return x, ((x[:, :, 0].mean(0) > 0) ^ flipped).double()


def loss() -> Figure:
    """The loss on new data in the course of training, with each option."""
    (x, y), (x_new, y_new) = _data(60, 0, 0.1), _data(1000, 1, 0)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    figure, axes = style.axes(height=3.0)
    for option, dashes in (
        ("", "-"),
        ("state_dropout", "--"),
        ("weight_dropout", ":"),
        ("zoneout", "-."),
    ):
        torch.manual_seed(0)
        given = {option: 0.5} if option else {}
        net = elman.Recurrent(elman.cells.GRU, 4, 32, dtype=torch.float64, **given)
        head = torch.nn.Linear(32, 1, dtype=torch.float64)
        optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.01)
        curve = []
        for step in range(150):
            optimiser.zero_grad()
            loss_of(head(net(x)[0][-1])[:, 0], y).backward()
            optimiser.step()
            if step % 5 == 4:
                net.eval()
                with torch.no_grad():
                    curve.append(loss_of(head(net(x_new)[0][-1])[:, 0], y_new).item())
                net.train()
        axes.plot(range(5, 151, 5), curve, dashes, label=option or "none")
    axes.set(xlabel="steps of training", ylabel="loss on new data", ylim=(0, None))
    axes.legend(frameon=False)
    return figure
