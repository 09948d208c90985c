"""The exceptions that elman adds to those of torch.nn. A leaf: imports nothing of elman."""


class FormulaError(ValueError):
    """A cell's formula cannot be compiled: the message names the place and the remedy.

    >>> import elman
    >>> class Wrong(elman.Cell):
    ...     gates = ("a",)
    ...     def step(self, x, u, s):
    ...         return elman.tanh(x.b)
    >>> elman.Recurrent(Wrong, 2, 4)
    Traceback (most recent call last):
    elman.errors.FormulaError: Wrong has no gate 'b', only ('a',): add it to `gates` or ...
    """


class PathError(RuntimeError):
    """A path was asked for by force, and cannot run here: the message says why.

    >>> import elman, torch
    >>> net = elman.Recurrent(elman.cells.MGU, 2, 4)
    >>> with elman.set_path("torch"):
    ...     net(torch.rand(3, 1, 2))
    Traceback (most recent call last):
    elman.errors.PathError: set_path('torch'), but ...
    """
