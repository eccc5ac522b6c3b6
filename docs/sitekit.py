"""What the site has beyond Sphinx: pictures that follow its theme, dates of last changes, signatures, llms.txt."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

HERE = Path(__file__).parent
# Since when, where that is not the first release.
SINCE: dict[str, str] = {}
FIRST_RELEASE = "0.1"
_NAMED_PAGE = re.compile(r'docs/([\w-]+)\.md(?:,\s+"([^"]+)")?')
# What signatures call by a name of the package's own: a pattern, and what it means.
ALIASES = {
    "ClientSecret": "str | Callable[[], str] | None",
    r"(?:[\w.]+\.)?LockedFile": "ContextManager[StoreEntry]",
    r"Generator\[(?:[\w.]+\.)?SQLEntry, None, None\]": "ContextManager[SQLEntry]",
}
# Which tables become lists on a phone: of so many columns, and with a cell of so many characters.
WIDE, SENTENCE = 3, 40
_CONSTANT = re.compile(r"(?<==\s)(?:\w+\.)?([A-Z][A-Z_]+)\b|(?<==)(?:\w+\.)?([A-Z][A-Z_]+)\b")

# HTML of the theme, and what axe wants in its place.
MENDED = (
    (r'role="heading"(?! aria-level)', 'role="heading" aria-level="2"'),
    (r'<aside class="sidebar-drawer"', '<aside class="sidebar-drawer" aria-label="All pages"'),
    (r'<aside class="toc-drawer', '<aside aria-label="This page" class="toc-drawer'),
    (r'<div class="content-icon-container"', '<div class="content-icon-container" role="navigation" aria-label="Page"'),
    (r"<th></th>", "<td></td>"),  # pandas' corner
    (r"<pre>", '<pre tabindex="0">'),
    # An option in code is not broken after its dashes.
    (r'<span class="pre">(--[\w-]{2,20})</span>', r'<span class="pre option">\1</span>'),
    (r'<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    # A signature of several lines is a list without terms.
    (r"(?<=</span>)\n\n<dl>\n(?=<dd><em class=\"sig-param)", '\n<span class="sig-list">'),
    (r"<dd>(<em class=\"sig-param\".*?</em>,)</dd>", r'<span class="sig-line">\1</span>'),
    (r"(<span class=\"sig-line\">.*</span>)\n</dl>\n", r"\1</span>\n"),
    (
        r'(?s)(<article role="main" id="furo-main-content">)(?=\s*<noscript>)',
        r"\1<h1>Search</h1>",
    ),
)


class InlinePictures(SphinxPostTransform):
    """Puts the SVG itself into an HTML page, so that it follows the page's light or dark mode and its text is found."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_kwargs: Any) -> None:
        """Replace each image of a picture of ours."""
        for image in list(self.document.findall(nodes.image)):
            uri = str(image["uri"])
            if uri.endswith(".svg") and "pictures/" in uri:
                svg = (HERE / uri).read_text(encoding="utf-8")
                image.replace_self(nodes.raw("", f'<div class="picture">{svg}</div>', format="html"))


def last_change(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """The date of a page's last commit."""
    source = app.env.doc2path(pagename) if pagename in app.env.found_docs else None
    if source is None:
        return
    git = ["git", "log", "-1", "--format=%cs", "--", Path(source).name]
    try:
        done = subprocess.run(git, cwd=HERE, capture_output=True, text=True, check=False)
    except OSError:  # a copy without git
        return
    if done.stdout.strip():
        context["last_updated"] = done.stdout.strip()


def since(_app: Sphinx, what: str, name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Say of each public name since when it is there, and make links of the pages that a docstring names."""
    lines[:] = _NAMED_PAGE.sub(_link, "\n".join(lines)).split("\n")
    if what in ("class", "exception", "function") or name in SINCE:
        lines += ["", f".. versionadded:: {SINCE.get(name, FIRST_RELEASE)}", ""]


def _link(named: re.Match[str]) -> str:
    page, heading = named[1], named[2]
    if heading is None:
        return f":doc:`{page}`"
    place = re.sub(r"[^\w-]", "", " ".join(heading.split()).lower().replace(" ", "-"))
    return f"`{heading} <{page}.html#{place}>`__"


def readable(
    _app: Sphinx, _what: str, _name: str, obj: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """Defaults as numbers in the place of the names of constants that nobody can look up."""
    if signature is None:
        return None
    known = vars(__import__("sys").modules.get(_module_of(obj)) or object).copy()

    def value(found: re.Match[str]) -> str:
        constant = found[1] or found[2]
        return repr(known[constant]) if isinstance(known.get(constant), (int, float, str)) else found[0]

    said = _CONSTANT.sub(value, signature)
    for alias, meaning in ALIASES.items():
        pattern = re.compile(rf"(?<![\w.]){alias}(?!\w)")
        said = pattern.sub(meaning, said)
        returns = returns and pattern.sub(meaning, returns)
    return said, returns


def _module_of(obj: Any) -> str:
    function = getattr(obj, "__init__", obj) if isinstance(obj, type) else obj
    return str(getattr(function, "__globals__", {}).get("__name__", getattr(obj, "__module__", "")))


def only_what_it_needs(_app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Leave out style sheets and scripts that a page has no use for: they are more than half of its weight."""
    has_cards = pagename == "index"
    is_notebook = pagename == "notebook"
    useless = [
        part
        for part, used in (("sphinx-design", has_cards), ("design-tabs", False), ("mystnb", is_notebook))
        if not used
    ]
    for kind in ("css_files", "script_files"):
        context[kind] = [one for one in context.get(kind, ()) if not any(part in str(one) for part in useless)]


def accessible(app: Sphinx, error: Exception | None) -> None:
    """What a screen reader or a keyboard needs and the theme's HTML lacks."""
    if error is not None or app.builder.name != "html":
        return
    for path in Path(app.outdir).glob("*.html"):
        html = path.read_text(encoding="utf-8")
        for pattern, better in MENDED:
            html = re.sub(pattern, better, html)
        html = re.sub(r'(?s)<table class="docutils.*?</table>', _stacked, html)
        path.write_text(html, encoding="utf-8")


def _stacked(table: re.Match[str]) -> str:
    """A wide table of sentences, with what site.css needs to make a list of it on a phone."""
    html = table[0]
    labels = [re.sub(r"<[^>]+>", "", head) for head in re.findall(r"<th[^>]*>(.*?)</th>", html, re.DOTALL)]
    cells = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
    if len(labels) < WIDE or max(len(re.sub(r"<[^>]+>", "", cell)) for cell in cells) < SENTENCE:
        return html

    def row(found: re.Match[str]) -> str:
        named = iter(labels)
        said = re.sub(r"<td>", lambda _: f'<td data-label="{next(named)}">', found[0])
        return re.sub(r'<td (data-label="[^"]*">(?:<p>)?(?:</p>)?</td>)', r'<td class="empty" \1', said)

    return re.sub(r"(?s)<tr class.*?</tr>", row, html.replace('class="docutils', 'class="stacked docutils', 1))


def options_as_code(_app: Sphinx, _command: Any, lines: list[str]) -> None:
    """Options that a help text names, as code: smart quotes would make one dash of two."""
    lines[:] = [re.sub(r"(?<![\w`-])--[a-z][\w-]*", r"``\g<0>``", line) for line in lines]


def pasteable(_app: Sphinx, _command: Any, lines: list[str]) -> None:
    """The examples of a help text as shell blocks, so that dashes and quotes stay, with remarks as comments."""
    made: list[str] = []
    for line in lines:
        if line.startswith("|   "):
            made.append("   " + re.sub(r"(?<=\S)\s{2,}(?=\w)", "  # ", line[4:]))
        elif line.startswith("| "):
            made += ["", line[2:], "", ".. code-block:: bash", ""]
        else:
            made.append(line)
    lines[:] = made


def llms(app: Sphinx, error: Exception | None) -> None:
    """llms.txt: each page with a line about it, for programs that read; its source stands beside it as text."""
    if error is not None or app.builder.name != "html":
        return
    base = app.config.html_baseurl.rstrip("/")
    out = [f"# {app.config.project}", "", f"> {app.config.description}", ""]
    for caption, names in _sections(app):
        out += [f"## {caption}", ""]
        out += [f"- [{_title(app, name)}]({base}/{_source(app, name)}): {_about(app, name)}" for name in names]
        out.append("")
    (Path(app.outdir) / "llms.txt").write_text("\n".join(out), encoding="utf-8")


def _sections(app: Sphinx) -> Iterator[tuple[str, list[str]]]:
    for tree in app.env.get_doctree(app.config.root_doc).findall(addnodes.toctree):
        yield tree.get("caption") or "Pages", [str(name) for name in tree["includefiles"]]


def _title(app: Sphinx, name: str) -> str:
    return app.env.titles[name].astext()


def _source(app: Sphinx, name: str) -> str:
    return f"_sources/{Path(app.env.doc2path(name)).name}.txt"


def _about(app: Sphinx, name: str) -> str:
    for paragraph in app.env.get_doctree(name).findall(nodes.paragraph):
        said = " ".join(paragraph.astext().split())
        if said and isinstance(paragraph.parent, nodes.section):
            return re.split(r"(?<=[.?])\s", said)[0]
    return _title(app, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect all of it."""
    app.add_config_value("description", "", "env", str)
    app.add_post_transform(InlinePictures)
    app.connect("html-page-context", last_change)
    app.connect("html-page-context", only_what_it_needs, priority=900)
    app.connect("autodoc-process-docstring", since)
    app.connect("autodoc-process-signature", readable)
    app.connect("sphinx-click-process-description", options_as_code)
    app.connect("sphinx-click-process-epilog", pasteable)
    app.connect("build-finished", llms)
    app.connect("build-finished", accessible)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
