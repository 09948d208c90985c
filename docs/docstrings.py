"""How the build reads docstrings: examples become listings, and roles become code."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(?=>>>).*?(?=\n\n|\Z)", re.M | re.S)
PAGE = re.compile(r"(`?)\bdocs/([\w/.-]+?)\.md\b(`?)")
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Rewrites the docstring of every object before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Fence examples, link pages, and drop the roles of reStructuredText."""
        if obj.docstring:
            fenced = EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
            linked = PAGE.sub(r"[\1\2\3](../\2.md)", fenced)  # the reference is one folder below
            obj.docstring.value = ROLE.sub(r"`\1`", linked)
