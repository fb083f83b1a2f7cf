"""The chapters: found in the package, selected by number or name, for a terminal or as one HTML page."""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from html import escape
from importlib import resources
from typing import NamedTuple

from backprop_check.errors import ConfigurationError

_PICTURE = re.compile(r"!\[(?P<title>[^\]]*)\]\((?P<path>pictures/[a-z-]+\.svg)\)")

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1d24; --paper: #fcfcfa; --soft: #5c6370; --line: #d9dbe0; --card: #f1f2f4; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --paper: #14161a; --soft: #9aa2b1; --line: #343841; --card: #1c1f25; }
}
body { margin: 0 auto; padding: 1.5rem; max-width: 48rem; background: var(--paper); color: var(--ink);
  font: 17px/1.6 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 3rem 0 .6rem; border-top: 1px solid var(--line); padding-top: 1.5rem; }
pre { background: var(--card); padding: .7rem 1rem; border-radius: .4rem; overflow-x: auto; line-height: 1.45; }
pre, code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
nav { color: var(--soft); } a { color: inherit; } svg { max-width: 100%; height: auto; }
"""


class Chapter(NamedTuple):
    """A chapter: its file's name without the extension, its title, its Markdown."""

    name: str
    title: str
    text: str


def chapters() -> list[Chapter]:
    """All chapters, in order."""
    folder = resources.files("backprop_check.guide")
    names = sorted(entry.name for entry in folder.iterdir() if re.fullmatch(r"\d\d-[a-z0-9-]+\.md", entry.name))
    texts = [(name.removesuffix(".md"), (folder / name).read_text(encoding="utf-8")) for name in names]
    return [Chapter(name, text.partition("\n")[0].removeprefix("# "), text) for name, text in texts]


def find_chapter(wanted: str) -> Chapter:
    """A chapter by its number or by (part of) its name. Raises ``ConfigurationError``, which lists the chapters."""
    known = chapters()
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(known):
        return known[int(wanted) - 1]
    word = wanted.casefold().replace(" ", "-")
    matches = [chapter for chapter in known if word in chapter.name]
    if len(matches) == 1:
        return matches[0]
    bare = {chapter.name[3:]: chapter for chapter in known}
    close = difflib.get_close_matches(word, bare, 2, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`backprop-check guide` lists them"
    if matches:
        raise ConfigurationError("ambiguous-chapter", f"several chapters are called '{wanted}'", hint)
    cause = f"there are chapters 1 to {len(known)}, and none called '{wanted}'"
    raise ConfigurationError("unknown-chapter", cause, hint)


def for_terminal(chapter: Chapter) -> str:
    """The Markdown with each picture replaced by a line that describes it."""
    return _PICTURE.sub(lambda match: f"*(picture: {match['title']}; see guide --html)*", chapter.text)


def as_html() -> str:
    """All chapters as one self-contained page, with its pictures inside."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - comes with rich, and only a page needs it

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    known = chapters()
    contents = "\n".join(f'<li><a href="#{chapter.name}">{escape(chapter.title)}</a></li>' for chapter in known)
    parts = []
    for chapter in known:
        pictures = [match["path"] for match in _PICTURE.finditer(chapter.text)]
        html = markdown.render(_PICTURE.sub("PICTURE", chapter.text))
        for path in pictures:
            html = html.replace("<p>PICTURE</p>", f"<figure>{_svg(path)}</figure>", 1)
        parts.append(f'<section id="{chapter.name}">\n{html}</section>')
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Backpropagation, neuron by neuron</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Backpropagation, neuron by neuron</h1>
<nav><ul>
{contents}
</ul></nav>
{chr(10).join(parts)}
</body>
</html>
"""


def _svg(path: str) -> str:
    return resources.files("backprop_check.guide").joinpath(path).read_text(encoding="utf-8")
