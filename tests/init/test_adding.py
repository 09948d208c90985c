"""The example of the adding problem shows what it says."""

import elman
from examples import adding


def test_every_network_has_an_error(capsys) -> None:
    adding.main(["--steps", "7", "--units", "5", "--updates", "2"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line[:17].strip() for line in lines] == [*adding.NETWORKS]
    assert all(0 < float(line[17:]) < 5 for line in lines)


def test_the_identity_remembers_and_the_default_does_not() -> None:
    default, identity = (
        adding.train(elman.cells.Elman("relu"), init, 40, 50, 400) for init in (None, "irnn")
    )
    assert identity < 0.05 < 0.12 < default
