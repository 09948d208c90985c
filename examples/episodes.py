"""Recurrent reinforcement learning: episodes begin anywhere in a rollout, and each with zeros.

A cue is shown in the first step of an episode. In every further step the agent is rewarded if its
action is the cue, so it has to remember it for the episode's random length. Rollouts have a fixed
number of steps. An episode may go on in the next one, so states are carried over; where one
starts, they are reset. One call runs a whole rollout:

    lstm(x, carried, reset=starts, reset_to=0)

    python examples/episodes.py
"""

import argparse

import torch
from torch import Tensor
from torch.distributions import Categorical

import elman

CUES, LONGEST = 4, 20
State = tuple[Tensor, Tensor]


class Corridors:
    """Several environments side by side."""

    def __init__(self, count: int) -> None:
        self.cue = torch.zeros(count, dtype=torch.long)
        self.left = torch.zeros(count, dtype=torch.long)  # steps of the episode that are left

    def observe(self) -> tuple[Tensor, Tensor]:
        """What is seen, ``(B, CUES)``, and where an episode starts, ``(B,)``."""
        starts = self.left == 0
        self.cue = torch.where(starts, torch.randint(CUES, self.cue.shape), self.cue)
        self.left = torch.where(starts, torch.randint(2, LONGEST, self.left.shape), self.left) - 1
        seen = torch.nn.functional.one_hot(self.cue, CUES) * starts[:, None]
        return seen + 0.1 * torch.randn(len(seen), CUES), starts

    def reward(self, action: Tensor) -> Tensor:
        return (action == self.cue).float()


class Agent(torch.nn.Module):
    """A policy with a memory."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.lstm = elman.LSTM(CUES, hidden)
        self.head = torch.nn.Linear(hidden, CUES)

    def forward(self, x: Tensor, state: State | None, starts: Tensor) -> tuple[Tensor, State]:
        """The scores of actions, ``(T, B, CUES)``, and the states to carry on."""
        output, state = self.lstm(x, state, reset=starts, reset_to=0)
        return self.head(output), state


def train(rollouts: int, steps: int = 64, count: int = 32) -> list[float]:
    """Prints and returns the mean rewards of rollouts."""
    torch.manual_seed(0)
    corridors, agent = Corridors(count), Agent()
    optimiser = torch.optim.Adam(agent.parameters(), lr=1e-2)
    carried: State | None = None
    rewards: list[float] = []
    for rollout in range(rollouts):
        taken, state = [], carried
        with torch.no_grad():  # the agent acts
            for _ in range(steps):
                x, starts = corridors.observe()
                scores, state = agent(x[None], state, starts[None])
                action = Categorical(logits=scores[0]).sample()
                taken.append((x, starts, action, corridors.reward(action)))
        x, starts, action, reward = map(torch.stack, zip(*taken, strict=True))
        scores, _ = agent(x, carried, starts)  # and learns: the same states, now with a gradient
        chosen = Categorical(logits=scores)
        better = reward - reward.mean()
        loss = -(chosen.log_prob(action) * better).mean() - 0.01 * chosen.entropy().mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        carried = state
        rewards.append(reward.mean().item())
        if (rollout + 1) % max(1, rollouts // 10) == 0:
            print(f"rollout {rollout + 1:4}: mean reward {rewards[-1]:.2f}")
    return rewards


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rollouts", type=int, default=100)
    torch.set_num_threads(1)
    train(parser.parse_args().rollouts)
