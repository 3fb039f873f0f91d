"""Sphinx: Markdown pages, the API from the docstrings, warnings as errors (`sphinx-build -W`)."""

import re

from matjax import __version__

project = "matjax"
author = "the matjax developers"
copyright = "the matjax developers, Apache-2.0"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"matjax {version}"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # code blocks are run by tests/test_docs.py, notebooks by .ci/run
copybutton_exclude = ".linenos, .gp, .go"

suppress_warnings = ["ref.python"]  # several rooms have a `Task` or a `Record`

autosummary_generate = True
autodoc_typehints = "none"  # shapes and units are in the docstrings
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "code"

_KEPT = re.compile(r"(``.*?``|`[^`]*`|(?<![\w*])\*\w[^*|]*[\w.?!]\*(?![\w*]))")  # names in backticks, emphasis
_constants: dict[str, list[str]] = {}
_MARKUP = re.compile(r"([|*]|(?<=\w)_(?=\W|$))")


def _plain(app, what, name, obj, options, lines):
    """Docstrings are plain text with `names`, *emphasis* and lists of `- items`; the rest is no markup, and is escaped."""
    written, doctest, item = [], False, None
    for line in lines:
        text = line.lstrip()
        indent = len(line) - len(text)
        doctest = text.startswith(">>>") or doctest and bool(text)
        if text.startswith("- ") and not doctest:
            written += [""] if item is None else []
            item = indent
        elif item is not None and text and indent <= item:
            written.append("")
            item = None
        if not doctest:
            line = "".join(p if k % 2 else _MARKUP.sub(r"\\\1", p) for k, p in enumerate(_KEPT.split(line)))
        written.append(line)
    lines[:] = written
    if what in ("data", "attribute"):
        _constants[name] = written


def _whole(app, what, name, obj, options, lines):
    """The docstring of a constant as it stands: napoleon takes what comes before a colon for its type."""
    lines[:] = _constants.get(name, lines)


def setup(app):
    """Escapes before napoleon parses the sections."""
    app.connect("autodoc-process-docstring", _plain, priority=100)
    app.connect("autodoc-process-docstring", _whole, priority=900)
