"""What the build changes in the theme's pages; MkDocs calls it with each."""

from typing import Any

SEARCH = {"en": "Search", "zh-CN": "搜索"}


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Give the dialogue of the search a name, and load its index late."""
    dialogue = 'data-md-component="search" role="dialog"'
    output = output.replace(dialogue, f'{dialogue} aria-label="{SEARCH[config.extra["locale"]]}"')
    script = f'<script src="{"../" * page.url.count("/")}assets/search.js"></script>'
    return output.replace('<script id="__config"', f'{script}<script id="__config"')
