"""What the build adds to MkDocs: languages, pictures, figures, formulas and links out of the site.

MkDocs calls these functions by their names, in this order, for each of the two languages.
"""

import html
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))
sys.dont_write_bytecode = True

from docs import figures, live, repeated  # noqa: E402, after the path that it is found on

CHINESE = ".zh-CN.md"
LANGUAGES = {"en": "English", "zh-CN": "中文"}  # each by the folder of its site; English has none
# A line break between Chinese characters, which a browser would show as a space.
BROKEN = re.compile("(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
REPEATED = {"commands": repeated.commands, "changelog": repeated.changelog}
UNTRANSLATED = '!!! note ""\n\n    这一页目前只有英文版。\n\n'


def on_config(config: Any) -> Any:
    """Say where the Chinese site is, once it is known where the English one is."""
    if config.site_url and config.extra["locale"] != "en":
        config.site_url += f"{config.extra['locale']}/"
    return config


def on_files(files: Files, config: Any) -> Files:
    """Keep the pages of one language, and add the pictures and what runs in pages."""
    for file in [file for file in files if file.src_uri.endswith(CHINESE)]:
        files.remove(file)
        if config.extra["locale"] == "zh-CN":
            name = file.src_uri.replace(CHINESE, ".md")
            files.remove(files.get_file_from_path(name))
            files.append(File.generated(config, name, abs_src_path=file.abs_src_path))
    for name, svg in figures.drawn():
        files.append(File.generated(config, f"figures/{name}.svg", content=svg))
    for path in sorted(live.built().iterdir()):
        name = f"live/models/{path.name}"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_nav(nav: Any, config: Any, files: Files) -> Any:
    """Translate the titles of sections; pages bring their own."""
    sections = list(nav)
    while sections:
        item = sections.pop()
        if item.children:
            item.title = config.extra["sections"].get(item.title, item.title)
            sections += item.children
    return nav


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Adapt what is written for readers of the repository to the site."""
    folder = posixpath.dirname(page.file.src_uri)
    for mark, text in REPEATED.items():
        if f"<!-- {mark} -->" in markdown:
            markdown = markdown.replace(f"<!-- {mark} -->", text())

    def outward(link: re.Match[str]) -> str:
        text, path, anchor = link.groups()
        target = posixpath.normpath(posixpath.join("docs", folder, path))
        if target.startswith("docs/"):
            return link[0]
        return (
            f"[{text}]({config.repo_url}/blob/main/{target}{anchor})" if config.repo_url else text
        )

    # The header has the switch between languages.
    markdown = re.sub(r"^\[(?:中文|English)\]\([\w.-]+\)\n", "", markdown, count=1, flags=re.M)
    markdown = re.sub(r"\[([^]]*)\]\((?!\w+:)([^)#\s]+)(#[^)\s]*)?\)", outward, markdown)
    if config.extra["locale"] == "zh-CN":
        markdown = BROKEN.sub("", markdown.replace(CHINESE, ".md"))
        if not page.file.abs_src_path.endswith(CHINESE):
            title, _, rest = markdown.partition("\n")
            return f"{title}\n\n{UNTRANSLATED}{rest}"
        if page.file.src_uri.startswith("reference/"):  # the entries are those of the English page
            english = (DOCS / page.file.src_uri).read_text("utf-8")
            markdown += "\n" + "".join(re.findall(r"^::: .*\n", english, re.M))
    return markdown


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    """Turn formulas into MathML, which browsers show without a script; load what runs here."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return convert(html.unescape(match[2]), display=display)

    pattern = r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>'
    content = re.sub(pattern, formula, content, flags=re.S)
    return content + "".join(live.scripts(content, "../" * page.url.count("/")))


def on_page_context(context: Any, page: Any, config: Any, nav: Any) -> Any:
    """Give the theme the page in each language; `on_post_page` makes links of these names."""
    config.extra["alternate"] = [
        {"name": name, "lang": locale, "link": f"language:{locale}/{page.url}"}
        for locale, name in LANGUAGES.items()
    ]
    return context


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Link the switch between languages to the same page.

    The theme's own filter of links cannot leave the root of a site, and English contains Chinese.
    """
    here, root = config.extra["locale"], "../" * page.url.count("/")
    for there in LANGUAGES:
        way = "" if there == here else "../" if there == "en" else f"{there}/"
        output = output.replace(f"language:{there}/", root + way)
    # Search engines read this. The theme's script shall not: it would look for more sitemaps.
    return output.replace('<link rel="alternate"', '<link rel="alternate alternate"')
