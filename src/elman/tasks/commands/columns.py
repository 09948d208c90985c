"""The options of every training that say what is read of a file.

Braces are filled in by each task, see `trains`.
"""

from typing import Annotated

import typer

Text = Annotated[str | None, typer.Option(help="The column of {texts}.")]
Label = Annotated[str | None, typer.Option(help="The column of {labels}.")]
Separator = Annotated[
    str | None, typer.Option(help="What stands between several labels of a text, such as ';'.")
]
Id = Annotated[str | None, typer.Option(help="The column that names a row's series.")]
Time = Annotated[str | None, typer.Option(help="The column of times, which order a series' rows.")]
Numbers = Annotated[bool, typer.Option("--regression", help="Labels are numbers to be predicted.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out rows that can't be used, and say why.")
]
