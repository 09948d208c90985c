"""The exceptions that elman adds to those of torch.nn. A leaf: imports nothing of elman."""


class FormulaError(ValueError):
    """A cell's formula cannot be compiled: the message names the place and the remedy."""


class PathError(RuntimeError):
    """The kernel was asked for by force and cannot run here: the message says why."""
