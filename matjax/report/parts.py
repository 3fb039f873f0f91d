"""Pieces of HTML that every act of the report is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

ABSENT = "not recorded"
FINDING = (
    r"(?<=best alloy found is )[^:]+|(?<=best compound found is )[^:]+"
    r"|\d[\d.]*[×%]|[+−]\d[\d.]* meV/atom|(?:beat|did not beat|came out ahead of) \w+"
)


class Act(NamedTuple):
    """One story of the report.

    Attributes:
      name: Id of its place on the page.
      title: Its heading.
      summary: Facts, warnings and verdict: what stands at the top of the page, as HTML.
      body: Its sections, as HTML.
    """

    name: str
    title: str
    summary: str
    body: str

    @property
    def contents(self) -> str:
        """Links to its sections, as HTML."""
        found = re.findall(r'<section id="([^"]+)"><h2>(.*?)(?: <span class="badge.*?</span>)?</h2>', self.body)
        return " · ".join(f'<a href="#{name}">{title}</a>' for name, title in found)


def summary(facts: Sequence[Any], warnings: Sequence[str], sentences: Sequence[str]) -> str:
    """What stands at the top of an act: a line of facts, warnings in red, and the verdict; empty facts are left out."""
    line = " · ".join(escape(str(fact)) for fact in facts if fact)
    red = "".join(f'<p class="warning" role="alert">{code(escape(text))}</p>' for text in warnings)
    return f'<p class="facts">{line}</p>{red}<p class="verdict">{strong(" ".join(sentences))}</p>'


def count(n: int, noun: str) -> str:
    """A number with its noun: `1 shift`, `3 shifts`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def strong(text: str) -> str:
    """Escaped text with its ratios, percentages, stabilities and comparisons in bold: they carry the finding."""
    return re.sub(FINDING, r"<b>\g<0></b>", escape(text))


def code(html: str) -> str:
    """HTML in which what stood in backticks is set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html)


def fact_list(values: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """A list of named facts, in the order of `names`; what is absent is said to be."""
    lines = "".join(f"<dt>{escape(name)}</dt><dd>{escape(plain(values.get(key)))}</dd>" for key, name in names.items())
    return f'<dl class="facts">{lines}</dl>'


def plain(value: Any) -> str:
    """A value of a record as text a person reads."""
    if value is None or value == "" or value == {} or value == []:
        return ABSENT
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(plain(item) for item in value)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def bullets(items: Sequence[Any]) -> str:
    """A list; an item that is a list itself is printed as `name: reason`."""
    return "".join(f"<li>{escape(': '.join(map(plain, item)) if isinstance(item, list) else plain(item))}</li>" for item in items)
