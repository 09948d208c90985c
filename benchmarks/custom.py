"""``python -m benchmarks.custom``: cells that torch.nn has not, against JAX and a PyTorch loop.

Each system runs in its own process, on as many cores as ``--threads`` says. Of JAX the best of its
forms counts. The last table compares each cell with a built-in layer of the same products.
"""

from __future__ import annotations

import argparse
import json
import statistics

from .pace import MODES, interval
from .peers.contest import Contest, Entry, agree
from .peers.task import Task

CELLS = ("lightgru", "peepholelstm", "leaky")
SIZES = ((100, 1, 32, 32), (100, 32, 128, 128))
SAME_PRODUCTS = {"leaky": "elman", "peepholelstm": "lstm"}


def main() -> None:
    """Times everything and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.custom", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    rows = []
    print("| cell | T, B, I, H | mode | elman (us) | JAX (us) | times as fast | 95% interval "
          "| PyTorch loop (us) | times | built-in (us) | cost over it |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with Contest(["elman", "jax", "torch"], options.threads) as contest:
        for cell in CELLS:
            for sizes in SIZES:
                for mode in MODES:
                    row = compare(contest, Task(cell, *sizes, mode), options.rounds)
                    rows.append(row)
                    low, high = row["interval"]
                    beside = row.get("built_in_us")
                    print(
                        f"| {cell} | {', '.join(map(str, sizes))} | {mode} | "
                        f"{row['elman_us']:.0f} | {row['jax_us']:.0f} ({row['jax_form']}) | "
                        f"{row['over_jax']:.2f} | {low:.2f} to {high:.2f} | "
                        f"{row['loop_us']:.0f} | {row['over_loop']:.1f} | "
                        + (f"{beside:.0f} | {row['over_built_in']:.2f} |" if beside else "| |"),
                        flush=True,
                    )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


def compare(contest: Contest, task: Task, rounds: int) -> dict[str, object]:
    """Median microseconds of each, and elman's ratios within a round."""
    ours, loop = Entry("elman", task), Entry("torch", task)
    forms = contest.entries("jax", task)
    expected = contest.prepare(loop)
    for entry in (ours, *forms):
        agree(expected, contest.prepare(entry), entry.key)
    entries = [ours, loop, *forms]
    beside = None
    if task.cell in SAME_PRODUCTS:
        beside = Entry("elman", task._replace(cell=SAME_PRODUCTS[task.cell]))
        contest.prepare(beside)
        entries.append(beside)
    times = contest.rounds(entries, rounds)
    best = min(forms, key=lambda entry: statistics.median(times[entry]))

    def over(entry: Entry) -> list[float]:
        return sorted(a / b for a, b in zip(times[entry], times[ours], strict=True))

    low, high = interval(rounds)
    row: dict[str, object] = {
        **task._asdict(),
        "elman_us": 1e6 * statistics.median(times[ours]),
        "jax_us": 1e6 * statistics.median(times[best]),
        "jax_form": best.variant,
        "over_jax": statistics.median(over(best)),
        "interval": [over(best)[low], over(best)[high]],
        "loop_us": 1e6 * statistics.median(times[loop]),
        "over_loop": statistics.median(over(loop)),
    }
    if beside:
        row["built_in_us"] = 1e6 * statistics.median(times[beside])
        row["over_built_in"] = 1 / statistics.median(over(beside))
    return row


if __name__ == "__main__":
    main()
