"""Where the documentation is: messages name its pages by this."""

#: In front of a page's name. The site has no fixed address, so this is its folder in a clone.
BASE = "docs/"


def page(name: str) -> str:
    """Where a page is, by its name in the documentation.

    >>> page("guides/faq")
    'docs/guides/faq.md'
    """
    return f"{BASE}{name}.md"
