"""When a command begins, elman is executed, which `elman_cli` may only have put in place."""


def execute() -> None:
    """Ask elman for something that it gets when it is executed."""
    import elman

    assert elman.Cell is not None
