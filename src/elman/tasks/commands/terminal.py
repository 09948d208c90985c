"""Where commands print."""

from rich.console import Console


def console() -> Console:
    """The standard output. Labels and texts are the user's: brackets there mean nothing to rich."""
    return Console(markup=False, highlight=False, soft_wrap=True)
