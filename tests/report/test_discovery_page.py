"""The discovery pages are valid, stand alone or beside the stress test, and show what the record says."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from matjax.report import discovery_figures, read_discovery, write_report
from matjax.report.candidate_table import candidate_table
from matjax.report.discovery_figures import MAX_LINES
from matjax.report.discovery_page import discovery_act
from matjax.report.discovery_sections import DISCOVERY_SECTIONS
from matjax.report.page import page
from matjax.report.value_figures import CORNERS, HEIGHT
from tests.report.campaigns import NOTE, make_record, make_trace, write_campaign
from tests.report.conftest import INFO, make_rows, write_run
from tests.report.test_page import Page


def check(path):
    """The page, which closes its tags, has each id once, links only to itself and stays small, and its text."""
    return check_text(path.read_text())


def check_undrawn(folder):
    """The same without writing the figures as SVG, which is what takes time; they are made all the same."""
    discovery = read_discovery(folder)
    drawings = dict.fromkeys(discovery_figures(discovery), '<svg width="1" height="1"></svg>')
    return check_text(page([discovery_act(discovery, drawings)]))


def check_text(text):
    found = Page(text)
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    inner = {link[1:] for link in found.links if link.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert inner <= set(found.ids)
    assert not re.search(r"url\((?!#)|@import|<script|<link", text)
    assert "nan" not in re.sub(r"<[^>]*>", " ", text).lower().split()
    assert len(text.encode()) < 4e6
    return found, " ".join(" ".join(found.text).split())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = write_campaign(tmp_path_factory.mktemp("found"), make_record(), make_trace())
    return write_report(folder), folder


def test_a_discovery_alone(written):
    path, folder = written
    found, text = check(path)
    files = sorted((folder / "figures").glob("*.svg"))
    assert len(files) == len(found.labels) == 2 + 3 + 2 + 4 + 2 * 2 + 2 + 2
    assert all(ElementTree.parse(file).getroot().tag.endswith("svg") for file in files)
    assert all("model system" in label for label in found.labels)
    places = [path.read_text().index(f'<section id="{section.name}"') for section in DISCOVERY_SECTIONS]
    assert places == sorted(places)
    for told in ("model system", "liquid, sigma, mu, Laves", "ran out of steps", 'kind = "laboratory"', "scale 20 meV/atom", "2 cores"):
        assert told in text


def test_where_results_hold_stands_at_every_result(written):
    html = written[0].read_text()
    for name in ("best", *(section.name for section in DISCOVERY_SECTIONS)):
        heading = html[html.index(f'<section id="{name}">') :].partition("</h2>")[0]
        assert f'title="{NOTE}">model system</span>' in heading


def test_same_campaign_gives_the_same_bytes(written, tmp_path):
    assert write_report(written[1], tmp_path).read_bytes() == written[0].read_bytes()


def test_both_acts_on_one_page(tmp_path):
    write_run(tmp_path, [{**row, "predictions": None} for row in make_rows()], INFO)
    write_campaign(tmp_path / "discovery", make_record() | dict.fromkeys(("mixing", "trends", "value")), make_trace())
    path = write_report(tmp_path)
    found, text = check(path)
    html = path.read_text()
    assert {"trust", "discovery", "overview", "curve"} <= set(found.ids)
    assert html.count('class="verdict"') == 2 and html.index('class="verdict"') < html.index('<article id="trust"')
    assert "its error grows 1.7×" in text and "value learning beat random" in text
    contents = re.findall(r'<a href="#([^"]+)">', html.partition("<article")[0])
    assert {"trust", "discovery", "best", "curve", "parity", "left-out", "data"} <= set(contents)
    assert html.count("<h1>") == 1 and "<h2>Parity" not in html and "<h3>Parity</h3>" in html


def test_an_interrupted_campaign_has_a_page(tmp_path):
    _, text = check(write_report(write_campaign(tmp_path, None, make_trace(13))))
    assert "Interrupted: there is a trace of 13 oracle calls" in text
    best = max((row for row in make_trace(13) if row["utility"] is not None), key=lambda row: row["utility"])
    low, high = (f"{1000 * best[f'predicted_stability_{end}']:+.0f}".replace("-", "−") for end in ("low", "high"))
    assert f"{low} to {high}" in text and "they say what it would find" in text
    for section in DISCOVERY_SECTIONS:
        assert (f"the campaign did not store {section.needs}" in text) == (section.name not in ("curve", "measured"))
    assert "Not drawn, since it was not stored: where the seeds of two or more proposers ended." in text


@pytest.mark.parametrize(
    "absent", ["curves", "pressure", "rounds", "best", "value", "mixing", "trends", "oracle", "utility", "batch", "terms"]
)
def test_any_part_may_be_missing(tmp_path, absent):
    check_undrawn(write_campaign(tmp_path, {**make_record(), absent: None}, make_trace(9)))


def test_numbers_may_be_null(tmp_path):
    """Every number of every row null, one at a time in turn of the rows; the page is still there."""
    record = make_record()
    for name in ("pressure", "rounds", "best"):
        keys = sorted({key for row in record[name] for key, value in row.items() if isinstance(value, (int, float))})
        record[name] = [{**record[name][0], key: None} for key in keys]
    record["mixing"] = [{**record["mixing"][0], "low": None, "truth_gibbs": [[None] * 21] * 3, "stability": None}]
    record["curves"] = [{"proposer": "matjax", "seed": 0, "utility": [None, None]}, {"proposer": "random", "seed": 0, "utility": []}]
    check_undrawn(write_campaign(tmp_path, record, [{**row, "predicted_utility_std": None} for row in make_trace(3)]))


def test_one_of_everything(tmp_path):
    """One seed, call, round, temperature, composition and point: no axis may collapse (a warning would fail)."""
    record = make_record()
    record["curves"] = [{"proposer": "matjax", "seed": 0, "utility": [0.4]}]
    record |= {name: record[name][:1] for name in ("pressure", "rounds", "best")}
    record["mixing"] = [{"x": [0.5], "temperatures": [300], "gibbs_mixing": [[-0.01]], "stability": [[0.0]]}]
    record["trends"] = [{"candidate": "bcc " + "Al20 " * 12, "T": [300], "stability": [0.0]}]
    record["value"] = {"elements": ["Al"], "pairs": [[0.2]], "ternary": {"elements": ["Al", "Co", "Ni"], "points": [[1, 1, 1, 0.5]]}}
    check(write_report(write_campaign(tmp_path, record, make_trace(1))))


def test_nothing_converged(tmp_path):
    trace = [{"call": i, "status": "failed", "error": "numerical: <diverged>", "utility": None} for i in range(20)]
    _, text = check(write_report(write_campaign(tmp_path, {"title": "Nothing"}, trace)))
    for told in ("No calculation of 20 oracle calls converged", "there is nothing to rank", "numerical: <diverged>", "8 more calls"):
        assert told in text


def test_names_are_escaped(tmp_path):
    record = make_record()
    record["title"] = record["oracle"]["note"] = "<b>a$_{x}$</b>"
    record["best"] = [
        {**row, "why": "<i>", "prototype": "<i>", "competitors": [{"phase": "<i>"}], "flags": ["<i>"]} for row in record["best"]
    ]
    record["mixing"][0]["title"] = record["trends"][0]["candidate"] = "<i>$x$"
    record |= dict.fromkeys(("curves", "pressure", "rounds", "value"))
    path = write_report(write_campaign(tmp_path, record, None))
    check(path)
    assert "<i>" not in path.read_text() and "<b>a" not in path.read_text()


def test_table_is_the_record(tmp_path):
    record = make_record()
    (table,) = Page(candidate_table(read_discovery(write_campaign(tmp_path, record, None)))).tables
    assert len(table) == 1 + len(record["best"])
    for row, line in zip(record["best"], table[1:], strict=True):
        for symbol, share in row["composition"].items():
            assert f"{symbol}{100 * share:.4g}" in line[0]
        assert line[1] == row["prototype"] and row["structure"] in line[0]
        low, high = (f"{1000 * row[name]:+.0f}".replace("-", "−") for name in ("low", "high"))
        assert line[2].endswith(f"{low} to {high}") or abs(row["high"]) < 0.01 or abs(row["low"]) < 0.01
        assert row["why"] in line[8] and f"call {row['call']}" in line[8] and "62%" in line[7]


def test_curve_draws_the_median(tmp_path):
    record = make_record()
    discovery = read_discovery(write_campaign(tmp_path, record, None))
    (axes,) = discovery_figures(discovery)["curve-utility"].axes
    drawn = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}
    for name in ("matjax", "random", "genetic"):
        seeds = [[value or 0.0 for value in curve["utility"]] for curve in record["curves"] if curve["proposer"] == name]
        expected = [np.median([max(seed[: i + 1]) for seed in seeds]) for i in range(40)]
        np.testing.assert_allclose(drawn[f"{name}, 5 seeds"], expected, rtol=1e-12)


def test_ternary_points_stand_where_they_belong(tmp_path):
    """A pure corner lies on its corner, and a hexagon's place is the mean of the corners weighted by the amounts."""
    record = {
        "title": "t",
        "value": {"ternary": {"elements": ["Co", "Fe", "Ni"], "points": [[4, 0, 0, 0.1], [0, 0, 2, 0.9], [1, 1, 2, 0.5]]}},
    }
    axes = discovery_figures(read_discovery(write_campaign(tmp_path, record, None)))["value-ternary"].axes[0]
    centres = {tuple(np.round(np.asarray(path.vertices)[:6].mean(0), 6)) for path in axes.collections[0].get_paths()}
    expected = [CORNERS[0], CORNERS[2], (CORNERS[0] + CORNERS[1] + 2 * CORNERS[2]) / 4]
    assert centres == {tuple(np.round(place, 6)) for place in expected}
    names = {text.get_text(): text.get_position() for text in axes.texts}
    assert names["Ni"][1] > HEIGHT and names["Co"][0] < 0 < 1 < names["Fe"][0]


def test_of_many_lines_the_first_are_shown(tmp_path):
    record = {"title": "t", "trends": make_record()["trends"] * 5}
    _, text = check_undrawn(write_campaign(tmp_path, record, None))
    assert f"{10 - MAX_LINES} more are in discovery.json." in text
