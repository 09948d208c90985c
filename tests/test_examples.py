"""The examples learn what they are about, in a shortened form, and their mistakes would show."""

import pytest
import torch

from examples import episodes, million_steps


@pytest.fixture(autouse=True)
def _one_thread(threads: None) -> None:
    torch.set_num_threads(1)


def test_a_delayed_row_of_bits_is_learned_a_window_at_a_time() -> None:
    losses = million_steps.train(250_000)
    assert losses[0] > 0.5  # chance is 0.69
    assert losses[-1] < 0.1


def test_an_agent_remembers_the_cue_of_each_episode() -> None:
    rewards = episodes.train(rollouts=50)
    assert rewards[0] < 0.5  # chance is 0.25
    assert sum(rewards[-5:]) / 5 > 0.8
