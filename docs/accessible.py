"""What the theme's pages lack for readers with a screen reader or a keyboard; MkDocs calls it."""

from typing import Any

SEARCH = {"en": "Search", "zh-CN": "搜索"}


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Name the dialogue of the search."""
    dialogue = 'data-md-component="search" role="dialog"'
    return output.replace(dialogue, f'{dialogue} aria-label="{SEARCH[config.extra["locale"]]}"')
