"""The networks of the figures: one function a figure, with the data and the seeds of its page."""

import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

import elman

from . import Live, exactly

TRAINING = 3000  # steps of networks that keep a digit


def order() -> Live:
    """The network of learn/order.md, and both sentences."""
    characters, texts = "我爱你", ["我爱你", "你爱我"]
    torch.manual_seed(0)
    rnn = elman.RNN(input_size=3, hidden_size=4)
    states = [exactly(rnn, one_hot(characters, text)) for text in texts]
    distance = torch.dist(states[0][-1], states[1][-1])
    data = {"characters": characters, "texts": texts}
    return Live({"rnn": rnn}, data, [*(state.T for state in states), distance])


def hidden_state() -> Live:
    """The network of learn/hidden-state.md, its inputs, and how its first number comes about."""
    torch.manual_seed(42)
    rnn = elman.RNN(input_size=2, hidden_size=4)
    inputs = torch.rand(3, 2)
    states = exactly(rnn, inputs)
    W_ih, _, b_ih, b_hh = [parameter.detach().double() for parameter in rnn.parameters()]
    parts = [(W_ih @ inputs[0].double() + b_ih)[0], b_hh[0]]
    weights = {name: parameter.tolist() for name, parameter in rnn.named_parameters()}
    data = {"inputs": inputs.tolist(), **weights}
    return Live({"rnn": rnn}, data, [states.T, *parts, states[0, 0]])


class LSTM(elman.Cell):
    """The formula of the page. What is ``shown`` is the first state: a layer gives it out."""

    gates = ("i", "f", "g", "o")
    states = ("shown", "h", "c")

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def step(self, x: Any, u: Any, s: Any) -> Any:
        """One time step."""
        i, f, o = (elman.sigmoid(getattr(x, gate) + self.product(gate, s.h)) for gate in "ifo")
        c = f * s.c + i * elman.tanh(x.g + self.product("g", s.h))
        h = o * elman.tanh(c)
        return {"i": i, "f": f, "o": o, "c": c, "h": h}[self.shown], h, c


class GRU(elman.Cell):
    """The formula of the page, as above."""

    gates = ("r", "z", "n")
    states = ("shown", "h")

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def step(self, x: Any, u: Any, s: Any) -> Any:
        """One time step."""
        r, z = (elman.sigmoid(getattr(x, gate) + self.product(gate, s.h)) for gate in "rz")
        n = elman.tanh(x.n + r * self.product("n", s.h))
        h = (1 - z) * n + z * s.h
        return {"r": r, "z": z, "n": n, "h": h}[self.shown], h


class MGU(elman.Cell):
    """The cell of learn/own-cell.md, as above."""

    gates = ("f", "n")
    states = ("shown", "h")

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def step(self, x: Any, u: Any, s: Any) -> Any:
        """One time step."""
        f = elman.sigmoid(x.f + self.product("f", s.h))
        n = elman.tanh(x.n + self.product("n", f * s.h))
        h = (1 - f) * s.h + f * n
        return {"f": f, "n": n, "h": h}[self.shown], h


def gates() -> Live:
    """An LSTM and a GRU of one unit that keep a digit, and what their gates do."""
    return _keeping({"LSTM": (LSTM, "ifohc"), "GRU": (GRU, "rznh")})


def own_cell() -> Live:
    """The same with the cell of the page."""
    return _keeping({"MGU": (MGU, "fnh")})


def _keeping(cells: dict[str, tuple[Callable[[str], elman.Cell], str]]) -> Live:
    """Networks of one unit that read digits, and keep the last one that has a mark. The values of
    each cell are shown; the last one is what keeps."""
    steps = ["3!", "1", "4", "1", "5", "9!", "2", "6", "5"]
    inputs = torch.tensor([[int(step[0]) / 10, len(step) - 1] for step in steps])
    networks, shown = {}, list[Tensor]()
    for name, (cell, values) in cells.items():
        trained = _trained_to_keep(elman.Recurrent(cell(values[-1]), 2, 1))
        for value in values:
            network = elman.Recurrent(cell(value), 2, 1)
            network.load_state_dict(trained.state_dict())
            networks[f"{name}_{value}"] = network
            shown.append(exactly(network, inputs))
    return Live(networks, {"text": "".join(steps)}, shown)


def _trained_to_keep(layer: elman.Recurrent) -> elman.Recurrent:
    """The layer, trained to give a tenth of the last digit with a mark."""
    torch.manual_seed(2)
    layer.reset_parameters()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TRAINING)
    for _ in range(TRAINING):
        digits = torch.randint(10, (20, 64)) / 10
        marks = torch.rand(20, 64) < 0.25
        marks[0] = True
        last = torch.where(marks, torch.arange(20)[:, None], 0).cummax(0).values
        output, *_ = layer(torch.stack([digits, marks.float()], -1))
        loss = mse_loss(output[..., 0], digits.gather(0, last))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return layer


def language_models() -> Live:
    """The model of learn/language-models.md, and how surprised it is."""
    characters, start = "四十是，", "四十四是四十"
    numbers = "四", "十", "十四", "四十", "四十四"
    chosen = random.Random(0).choices(numbers, k=2000)
    text = "".join(f"{number}是{number}，" for number in chosen)
    torch.manual_seed(0)
    gru, head = elman.GRU(4, 32), torch.nn.Linear(32, 4)
    optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=0.01)
    length = (len(text) - 1) // 20
    steps = one_hot(characters, text)
    inputs = steps[: 20 * length].view(20, length, 4).transpose(0, 1)
    targets = steps[1 : 20 * length + 1].argmax(1).view(20, length).T
    for _ in range(5):
        for window in elman.windows(gru, inputs, size=25):
            logits, right = head(window.output), targets[window.steps]
            cross_entropy(logits.flatten(0, 1), right.flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()
    chances = exactly(head, exactly(gru, one_hot(characters, start))).softmax(1)
    read = [characters.index(character) for character in start[1:]]
    surprise = -chances[range(len(read)), read].log() / math.log(2)
    data = {"characters": characters, "text": start}
    return Live({"model": torch.nn.Sequential(gru, head)}, data, [surprise, chances[-1]])


def tagging() -> Live:
    """A small tagger of sentences like those of learn/tagging.md, which reads forward only."""
    given, cities, verbs = "雷梅强敏伟", ["北京", "上海", "广州", "成都"], "在去爱"
    family, text = "李王张刘陈", "韩梅梅爱上海"
    characters = family + given + "".join(cities) + verbs
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    draw = random.Random(0)
    torch.manual_seed(0)
    gru, head = elman.GRU(len(characters), 16), torch.nn.Linear(16, len(tags))
    optimizer = torch.optim.Adam([*gru.parameters(), *head.parameters()], lr=0.02)
    for _ in range(400):
        name = "".join(draw.choices(given, k=draw.choice((1, 2))))
        sentence = draw.choice(family) + name + draw.choice(verbs) + draw.choice(cities)
        right = torch.tensor([1, *[2] * len(name), 0, 3, 4])
        known = torch.rand(len(sentence), 1) > 0.1  # the others are as a character never seen
        logits = head(gru(one_hot(characters, sentence) * known)[0])
        cross_entropy(logits, right).backward()
        optimizer.step()
        optimizer.zero_grad()
    chances = exactly(head, exactly(gru, one_hot(characters, text))).softmax(1)
    data = {"characters": characters, "tags": tags, "text": text}
    return Live({"tagger": torch.nn.Sequential(gru, head)}, data, [chances.T])


def one_hot(characters: str, text: str) -> Tensor:
    """A text as vectors, ``(T, I)``; zeros are a character that is not known."""
    return torch.tensor([[float(one == other) for other in characters] for one in text])


#: By the names that pages call them.
FIGURES: dict[str, Callable[[], Live]] = {
    "order": order,
    "hidden_state": hidden_state,
    "gates": gates,
    "own_cell": own_cell,
    "language_models": language_models,
    "tagging": tagging,
}
