"""What commands begin with: the whole package, and a console."""

from rich.console import Console


def execute() -> None:
    """Execute elman, which `elman_cli` may only have put in place: ask it for something."""
    import elman

    assert elman.Cell is not None


def console() -> Console:
    """The standard output. Labels and texts are the user's: brackets there mean nothing to rich."""
    return Console(markup=False, highlight=False, soft_wrap=True)
