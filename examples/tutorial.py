"""A first walk through recurrent layers, with torch.nn or with elman.

Every function takes the namespace that the layers come from, so that both can be compared:

    python examples/tutorial.py            # elman
    python examples/tutorial.py torch.nn   # the original

The seed fixes parameters, inputs and dropout; both print the same.
"""

import argparse
import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class Run(NamedTuple):
    """A layer, what it was given, the state after every step, and the last state."""

    layer: torch.nn.Module
    inputs: torch.Tensor
    output: torch.Tensor
    h_n: torch.Tensor


def apply(layer: torch.nn.Module, *shape: int) -> Run:
    """Run the layer over uniform random inputs of this shape."""
    inputs = torch.rand(*shape)
    return Run(layer, inputs, *layer(inputs))


def one_layer(nn: Any, batch_first: bool = False) -> Run:
    """Three steps of one sequence: two features in, four units out."""
    torch.manual_seed(42)
    shape = (1, 3, 2) if batch_first else (3, 1, 2)
    return apply(nn.RNN(input_size=2, hidden_size=4, batch_first=batch_first), *shape)


def batch_in_front(nn: Any) -> Run:
    """The same layer, reading (batch, step, feature); h_n keeps its shape."""
    return one_layer(nn, batch_first=True)


def two_layers(nn: Any) -> Run:
    """The second layer reads the states of the first; h_n has a row for each."""
    torch.manual_seed(42)
    return apply(nn.RNN(input_size=2, hidden_size=4, num_layers=2), 3, 1, 2)


def both_directions(nn: Any) -> Run:
    """A second set of weights reads from the end; the two states stand side by side in output."""
    torch.manual_seed(42)
    return apply(nn.RNN(input_size=2, hidden_size=3, bidirectional=True), 3, 1, 2)


def dropout_between_layers(nn: Any) -> Run:
    """In training, a fifth of what the second layer reads is dropped, the rest scaled up."""
    torch.manual_seed(42)
    return apply(nn.RNN(input_size=2, hidden_size=3, num_layers=2, dropout=0.2), 3, 1, 2)


def whole_sequence(nn: Any) -> Run:
    """Two sequences of three steps through the layer, in one call."""
    torch.manual_seed(42)
    return apply(nn.RNN(input_size=4, hidden_size=6), 3, 2, 4)


def step_by_step(nn: Any) -> Run:
    """The same through a cell: the loop over time is ours, and so is the state."""
    torch.manual_seed(42)
    cell = nn.RNNCell(input_size=4, hidden_size=6)
    inputs = torch.rand(3, 2, 4)
    h = torch.zeros(2, 6)
    states = []
    for x in inputs:
        h = cell(x, h)
        states.append(h)
    return Run(cell, inputs, torch.stack(states), h)


LISTINGS = (
    one_layer,
    batch_in_front,
    two_layers,
    both_directions,
    dropout_between_layers,
    whole_sequence,
    step_by_step,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print each listing: shapes, parameters and numbers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("namespace", nargs="?", default="elman", choices=["elman", "torch.nn"])
    nn = importlib.import_module(parser.parse_args(arguments).namespace)
    for listing in LISTINGS:
        run = listing(nn)
        print(f"\n{listing.__name__}: {listing.__doc__}\n{run.layer}")
        for name, parameter in run.layer.named_parameters():
            print(f"  {name:22} {tuple(parameter.shape)}")
        print(f"output {tuple(run.output.shape)}\n{run.output.detach()}")
        print(f"h_n {tuple(run.h_n.shape)}\n{run.h_n.detach()}")


if __name__ == "__main__":
    main()
