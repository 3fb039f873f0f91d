"""The page is valid, needs nothing beside it, and its numbers are those of the rows."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from matjax.report import read_run, write_report
from matjax.report.figures import not_drawn, shown
from matjax.report.sections import SECTIONS
from matjax.report.table import COLUMNS, main_table
from matjax.report.words import listing, method_name, number, spelled

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks nesting and collects tags, ids, links to anything, text and table cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values: dict[str, str] = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[name] for name in ("src", "href", "xlink:href", "srcset", "data") if values.get(name)]
        self.labels += [values.get("aria-label", "")] if tag == "svg" else []
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        self.text.append(data)
        if {"td", "th"} & set(self.open) and "table" in self.open:
            self.tables[-1][-1][-1] += data


SHOWN = [section.name for section in SECTIONS if section.name != "domains"]  # two domains are not drawn one by one


@pytest.fixture(scope="module")
def written(full_run):
    return write_report(full_run), full_run


def test_page_is_valid_and_self_contained(written):
    path, folder = written
    text = path.read_text()
    page = Page(text)
    assert path == folder / "report.html"
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    external = [link for link in page.links if not link.startswith(("#", "data:image/png;base64,"))]
    assert external == []
    assert not re.search(r"url\((?!#)|@import|<script|<link", text)
    inner = {link[1:] for link in page.links if link.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert inner <= set(page.ids)
    assert len(text.encode()) < 4e6


def test_every_figure_is_on_the_page_and_valid_svg(written):
    path, folder = written
    page = Page(path.read_text())
    files = sorted((folder / "figures").glob("*.svg"))
    assert len(files) == 2 + 1 + 5 * 3 + 2 + 4
    assert len(page.labels) == len(files)
    assert all(page.labels)
    assert {file.stem.rpartition("-")[0] for file in files} == {*SHOWN, "statistics"}
    for file in files:
        assert ElementTree.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_sections_come_in_order(written):
    text = written[0].read_text()
    places = [text.index(f'id="{name}"') for name in ["overview", "statistics", *SHOWN[1:], "data", "settings", "missing", "reproduce"]]
    assert text.index("<h1>") < text.index('class="verdict"') < text.index('<table class="main"') < places[0]
    assert places == sorted(places)


def test_record_is_printed_and_escaped(written):
    page = Page(written[0].read_text())
    text = " ".join(page.text)
    for expected in (
        "A <test> & more",
        "Faber et al. (2015)",
        "CC BY 4.0",
        "Two label conventions.",
        'kind = "erm"',
        "jax 0.9.1",
        "matched fit, cubic",
    ):
        assert expected in text
    assert "Part of the shift to nitride is a change of label convention" in text


def test_same_run_gives_the_same_bytes(written, tmp_path):
    path, folder = written
    assert write_report(folder, tmp_path).read_bytes() == path.read_bytes()


def test_numbers_of_the_table_are_those_of_the_rows(run_folder, rows):
    run = read_run(run_folder(rows))
    cells = {}
    (table,) = Page(main_table(run)).tables
    for line in table[2:]:
        if len(line) == 1:
            domain = next(row["domain"] for row in rows if line[0].startswith(row["domain"]))
        else:
            cells[domain, line[0]] = line[1:]
    for row in rows:
        line = cells[row["domain"], method_name(row["method"])]
        for column, cell in zip(COLUMNS, line, strict=True):
            value = row[column.field]
            assert cell.rstrip("▲") == ("—" if value is None else column.form(value)), column
        baseline = cells[row["domain"], "baseline composition trees"]
        printed = [cell for cell in baseline if cell]
        assert printed == [number(row["baseline_in"]), number(row["baseline_out"])]


def test_best_is_bold_and_worse_than_reference_is_marked(run_folder, rows):
    text = main_table(read_run(run_folder(rows)))
    assert "<b>0.140</b>" in text  # GroupDRO, cubic, outside
    assert "<b>0.240</b>" in text  # ERM, nitride, outside
    assert text.count('class="worse"') == 5  # inside thrice, outside on random and nitride
    assert "<b>0.150</b>" not in text


def test_null_has_its_reason_on_hover(run_folder, rows):
    rows[0]["why"] = {"matched_ratio": "the budget ended"}
    text = main_table(read_run(run_folder(rows)))
    assert '<abbr title="the budget ended">—</abbr>' in text
    assert "needs a second fit" in text


def test_who_saw_more_must_beat_who_saw_less(run_folder, rows):
    """GroupDRO is better on cubic but saw the target there: ERM is the best of its level, GroupDRO of both."""
    for row in rows:
        row["information"] = "L1" if row["method"] == "group_dro" else "L0"
    text = main_table(read_run(run_folder(rows)))
    assert text.count("without labels") == 3
    assert "<b>0.140</b>" in text and "<b>0.150</b>" in text
    assert "<b>0.300</b>" not in text  # nitride, GroupDRO


def test_names_are_escaped(run_folder, rows):
    for row in rows:
        for field in ("shift", "domain", "method"):
            row[field] = f"<b>{row[field]}$_{{x}}$</b>"
    text = write_report(run_folder(rows)).read_text()
    assert Page(text).open == []
    assert "<b>nitride" not in text


def test_rows_of_nulls_without_predictions(run_folder, rows):
    bare = [{name: row[name] if name in ("shift", "domain", "method") else None for name in row} for row in rows]
    path = write_report(run_folder(bare))
    page = Page(path.read_text())
    text = " ".join(page.text)
    assert "Not drawn for" in text
    assert "not recorded" in text
    assert len(page.labels) == 1  # only the frame of the error figure


def test_of_many_shifts_the_first_and_the_worst_are_shown(full_run):
    run, section = read_run(full_run), next(section for section in SECTIONS if section.name == "parity")
    names = ["overview-error", *(f"parity-{i}" for i in range(1, 14)), "score-1"]
    assert shown(section, names) == ["parity-1", *(f"parity-{i}" for i in range(7, 14))]
    assert shown(section, names[:6]) == [f"parity-{i}" for i in range(1, 6)]
    assert not_drawn(run, section, names) == "The page shows the first and the 7 worst shifts; 5 more are in the folder figures."


def test_words():
    assert [spelled(name) for name in ("CompositionTrees", "composition trees", "my_own")] == [
        "composition trees",
        "composition trees",
        "my own",
    ]
    assert [number(x) for x in (0.0012345, 0.2297, 4.405, 12.34, 183.2, 0.0, -0.5)] == [
        "0.0012",
        "0.230",
        "4.41",
        "12.3",
        "183",
        "0.000",
        "-0.500",
    ]
    assert [method_name(name) for name in ("erm", "group_dro", "v_rex", "VREx", "my_own")] == [
        "ERM",
        "GroupDRO",
        "V-REx",
        "V-REx",
        "my_own",
    ]
    assert [listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert listing("abcdefg") == "a, b, c, d and 3 more"


def test_nothing_missing_is_said(run_folder, rows):
    bare = [{**row, "predictions": None} for row in rows]
    folder = run_folder(bare, {"dataset": {}, "seconds": None, "missing": []})
    assert "Nothing: every planned row was run." in write_report(folder).read_text()
