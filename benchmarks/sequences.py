"""Rows that begin anew or end early, beside torch.nn in the loops that people write for them.

    python -m benchmarks.sequences [--rounds 5]

Resets: the loop of Stable-Baselines3's and CleanRL's recurrent policies, a call for each step whose
states are multiplied by a mask, in training. Lengths: padded batches, beside torch.nn's packing and
unpacking, also in inference, and with other lengths in each call. Both also beside a plain call.
Processor time of one thread, by turns, medians of ratios. Results are compared before.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import elman

RESETS = [  # name, T, B, I, H: SB3's default policy, CleanRL's, TorchRL's benchmark, a small one
    ("sb3", 128, 16, 64, 256),
    ("cleanrl", 128, 8, 512, 128),
    ("small", 128, 8, 32, 64),
]
LENGTHS = [("GRU", 100, 32, 64, 128), ("LSTM", 100, 32, 64, 128)]

Results = tuple[Tensor, Any]


def loop(layer: Any, x: Tensor, state: Any, starts: Tensor) -> Results:
    """What SB3-contrib and CleanRL write."""
    outputs = []
    for frame, start in zip(x.split(1), starts.float(), strict=True):
        keep = (1.0 - start).view(1, -1, 1)
        output, state = layer(frame, tuple(keep * s for s in state))
        outputs.append(output)
    return torch.cat(outputs), state


def packed(layer: Any, x: Tensor, lengths: Tensor) -> Results:
    """What torch.nn's users write for padded rows."""
    output, state = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
    return pad_packed_sequence(output, total_length=len(x))[0], state


def train(layer: Any, call: Callable[[], Results]) -> float:
    """Processor seconds of a forward and a backward pass."""
    begin = time.process_time()
    output, _ = call()
    output.square().sum().backward()
    layer.zero_grad(set_to_none=True)
    return time.process_time() - begin


def infer(_: Any, call: Callable[[], Results]) -> float:
    """Processor seconds of a forward pass."""
    begin = time.process_time()
    with torch.no_grad():
        call()
    return time.process_time() - begin


def by_turns(
    contestants: dict[str, tuple[Any, Callable[[], Results]]],
    rounds: int,
    run: Callable[..., float] = train,
) -> None:
    """Prints times, and that of each contestant divided by the second's, which is elman's. The
    first two compute the same."""
    calls = [call for _, call in contestants.values()]
    assert torch.allclose(calls[0]()[0], calls[1]()[0], atol=1e-4)
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, contestant in contestants.items():
            found[name].append(run(*contestant))
    ours = [*found.values()][1]
    for name, times in found.items():
        ratio = statistics.median(a / b for a, b in zip(times[1:], ours[1:], strict=True))
        print(f"  {name:20} {statistics.median(times[1:]) * 1e3:8.2f} ms  {ratio:6.2f}")


def pair(kind: str, width: int, units: int) -> tuple[Any, Any]:
    """torch.nn's layer and elman's, of the same weights."""
    theirs, ours = (getattr(nn, kind)(width, units) for nn in (torch.nn, elman))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def resets(name: str, T: int, B: int, width: int, units: int, rounds: int) -> None:
    """Training on a rollout."""
    theirs, ours = pair("LSTM", width, units)
    x = torch.randn(T, B, width, requires_grad=True)
    state = tuple(torch.randn(1, B, units) for _ in "hc")
    starts = torch.rand(T, B) < 0.03
    never = torch.zeros_like(starts)
    print(f"LSTM with {int(starts.sum())} resets, {name}: T{T} B{B} I{width} H{units}")
    by_turns(
        {
            "torch.nn in a loop": (theirs, lambda: loop(theirs, x, state, starts)),
            "reset=": (ours, lambda: ours(x, state, reset=starts, reset_to=0)),
            "no reset in reset=": (ours, lambda: ours(x, state, reset=never, reset_to=0)),
            "without reset=": (ours, lambda: ours(x, state)),
        },
        rounds,
    )


def lengths(kind: str, T: int, B: int, width: int, units: int, rounds: int) -> None:
    """Padded batches."""
    theirs, ours = pair(kind, width, units)
    x = torch.randn(T, B, width, requires_grad=True)
    others = itertools.cycle([torch.randint(1, T + 1, (B,)) for _ in range(100)])

    def of(name: str, steps: Tensor, run: Callable[..., float] = train) -> None:
        print(f"{kind} with lengths, {name}: T{T} B{B} I{width} H{units}")
        by_turns(
            {
                "torch.nn packed": (theirs, lambda: packed(theirs, x, steps)),
                "lengths=": (ours, lambda: ours(x, lengths=steps)),
                "other lengths=": (ours, lambda: ours(x, lengths=next(others))),
                "without lengths=": (ours, lambda: ours(x)),
            },
            rounds,
            run,
        )

    half = torch.arange(1, B + 1) * T // B
    of("full", torch.full((B,), T))
    of("half full", half)
    of("half full, inference", half, infer)


def main() -> None:
    """Prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for row in RESETS:
        resets(*row, rounds)
    for sizes in LENGTHS:
        lengths(*sizes, rounds)


if __name__ == "__main__":
    main()
