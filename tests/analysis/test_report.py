"""The report stands alone, says what the store says, and works in a browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from analysis.figures.captions import CAPTIONS
from analysis.report import report as module
from analysis.report.opening import opening
from analysis.report.report import embedded, gallery, report, save_report
from analysis.tables.tables import build_tables
from results.records import StoreError
from results.store import Store

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return save_report(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def html(path) -> str:
    return path.read_text()


@pytest.fixture(scope="module")
def data(html) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)[1])


def test_it_opens_with_findings_limits_and_where_it_is_from(html):
    header = html[: html.index('id="frontier"')]
    for said in ("two fifths of the patches are enough", "no better than random exits", "No number here is a COCO AP"):
        assert said in header
    assert re.search(r"Made on \d{4}-\d\d-\d\d from commit [0-9a-f]{10}( with changes)?\.", header)
    assert "An, Zhao, Gong, Wang, Wang, Yang: SHaRPose" in header and "doi:10.1609/aaai.v38i2.27826" in header
    assert not re.search(r"\]\(|\*\*", header)


def test_without_findings_it_says_which_file_lacks_them(tmp_path):
    (tmp_path / "README.md").write_text("# mine\n")
    with pytest.raises(StoreError, match=r"README.md: the table under 'What holds, and what does not'"):
        opening(tmp_path / "README.md")


def test_tables_are_folded_and_their_caveats_stand_with_them(html):
    articles = re.findall(r'<article id="(\w[\w-]*)">\s*<details( open)?>', html)
    assert len(articles) == html.count("<article ") > 20
    assert [name for name, unfolded in articles if unfolded] == ["table6a"]
    article = re.search(r'<article id="table6a">.*?</article>', html, re.DOTALL)[0]
    # inside what is unfolded nothing is folded away once more
    assert article.count("<details") == 1 and '<ul class="notes"' in article


def test_every_figure_has_a_caption():
    drawn = {path.stem for path in (module.FIGURES).glob("*.svg")}
    assert drawn and drawn <= set(CAPTIONS)


def test_nothing_is_fetched(html):
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert addresses and all(one.startswith(("data:", "#")) for one in addresses)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", html)
    # records are a quarter of it, 2 kB each
    assert len(html) < 8_000_000


def test_every_table_of_every_device_and_every_record_is_there(html, data):
    for table in build_tables():
        assert f'<article id="{table.id}">' in html
    assert set(data["records"]) == {record.run_id for record in Store().records()}
    shown = {run for runs in re.findall(r'data-run="([^"]+)"', html) for run in runs.split()}
    assert shown and shown <= set(data["records"]) | set(data["computed"])


def buttons(html: str, table: str) -> list[list[tuple[str, str]]]:
    """Of every row of a table's first variant, the texts that have a dialog, and its runs."""
    article = re.search(rf'<article id="{table}">.*?</table>', html, re.DOTALL)
    rows = re.findall(r"<tr><th scope=.row.*?</tr>", article[0] if article else "", re.DOTALL)
    return [re.findall(r'data-run="([^"]+)">([^<]+)<', row) for row in rows]


def test_every_number_of_thresholds_counters_and_schedules_says_how_it_was_made(html, data):
    gate, counted = {"predictions", "cost"}, {"cost"}
    for table, measures in (("figure6", gate), ("frontier", gate), ("counters", counted)):
        rows = buttons(html, table)
        # a stage alone is no number; everything else has its dialog
        numbers = len(build_tables([table])[0].shown.columns) - (2 if table == "counters" else 1)
        assert len(rows) > 3 and {len(row) for row in rows} == {numbers}
        assert {data["records"][run]["measure"] for row in rows for run, _ in row} == measures
    (first, *_) = buttons(html, "figure6")
    assert [text for _, text in first] == build_tables(["figure6"])[0].shown.iloc[0, 1:].tolist()
    assert data["records"][first[2][0]]["provenance"]["command"]
    rows = buttons(html, "schedules")
    assert rows[0] == [("schedules-0", text) for text in ("12", "192 × 12", "2,304", "192", "192")]
    origin = data["computed"]["schedules-0"]
    assert origin["identity"]["embed_dim"] == 768 and origin["provenance"]["command"] == "sharpose table schedules"
    assert len(origin["provenance"]["git_commit"]) == 40 and "nothing is measured" in origin["measure"]


def test_points_and_costs_are_the_stores_numbers(data):
    (point,) = [p for p in data["points"] if p["table"] == "table6a" and p["label"] == "0.4"][:1]
    record = next(r for r in Store().records("cost") if r.run_id == point["cost_run_id"])
    assert point["gflops"] == pytest.approx(record.metrics["macs_fvcore"] / 1e9)
    assert data["costs"]["0.3"]["coarse"] + data["costs"]["0.3"]["fine"] == pytest.approx(15.72, abs=0.01)
    assert [len(person["fine"]["0.3"]["keep_indices"]) for person in data["gallery"]["people"]] == [15] * 6


def test_embedded_json_cannot_end_its_script_and_holds_no_nan():
    text = embedded({"a": "</script>", "b": None, "c": "\u2028"})
    assert "<" not in text and json.loads(text) == {"a": "</script>", "b": None, "c": "\u2028"}
    with pytest.raises(ValueError, match="JSON"):
        embedded({"b": float("nan")})


def test_a_damaged_example_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "examples_folder", lambda tier: tmp_path)
    with pytest.raises(StoreError, match=r"gallery.json: cannot be used .*`git checkout` it"):
        gallery("nano")


def test_without_speeds_it_is_still_written(tmp_path, monkeypatch):
    text = report(store=Store(tmp_path / "empty"))
    assert '<select id="device">' not in text and '<article id="table6a">' in text


def test_a_tier_has_its_own_titles_figures_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "REPORT", tmp_path / "report.html")
    monkeypatch.setattr(module, "FIGURES", tmp_path / "figures")
    (tmp_path / "figures/photos").mkdir(parents=True)
    (tmp_path / "figures/photos/curves.svg").write_text("<svg/>")
    (tmp_path / "figures/table6a.svg").write_text("<svg/>")
    path = save_report(tier="photos", store=Store(tmp_path / "empty"))
    assert path == tmp_path / "report-photos.html"
    text = path.read_text()
    assert "Table 3: photographs (photos tier: " in text
    assert re.findall("<figcaption>(.*?)</figcaption>", text) == [CAPTIONS["curves"]]


def test_html_of_labels_is_escaped(monkeypatch):
    monkeypatch.setattr(module, "build_tables", lambda **asked: [])
    monkeypatch.setattr(module, "figures", lambda titles, folder: [{"caption": "<b>", "address": "data:,"}])
    assert "<b>" not in report()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium in a folder of its own."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def page(browser, path):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get("about:blank")
    browser.get(path.as_uri())
    # the gallery's sentence is the last thing that the page's script writes
    WebDriverWait(browser, 120).until(lambda _: browser.find_element("id", "gallery-said").text)
    yield browser
    assert browser.get_log("browser") == []


def headers(page, table: str):
    return page.find_elements("css selector", f"#{table} [data-device]:not([hidden]) thead th")


def column(page, table: str, number: int) -> list[str]:
    script = """return [...document.querySelectorAll(`#${arguments[0]} [data-device]:not([hidden]) tbody tr`)]
      .map((row) => row.cells[arguments[1]].textContent.trim())"""
    return page.execute_script(script, table, number)


def test_tables_sort_by_number_with_dashes_last(page):
    shown = headers(page, "table6a")
    number = next(index for index, header in enumerate(shown) if header.text.startswith("GFLOPs (multiply-adds)"))
    before, header = column(page, "table6a", number), shown[number]
    header.find_element("tag name", "button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    rising, dashes = sorted((cell for cell in before if cell != "–"), key=float), ["–"] * before.count("–")
    assert rising[0] == "11.75" and rising[-1] == "24.72" and dashes
    assert column(page, "table6a", number) == rising + dashes
    header.find_element("tag name", "button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, "table6a", number) == rising[::-1] + dashes
    header.find_element("tag name", "button").click()
    assert column(page, "table6a", number) == before


def slide(page, name: str, value: float) -> str:
    script = """const slider = document.getElementById(arguments[0]); slider.value = arguments[1];
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      return document.getElementById("gallery-said").textContent"""
    return page.execute_script(script, name, value)


def test_sliders_change_patches_keypoints_and_who_is_refined(page, data):
    people = data["gallery"]["people"]
    assert slide(page, "threshold", 0).startswith("0 of 6 refined")
    threshold = sorted(person["quality"] for person in people)[2] + 0.005
    assert slide(page, "threshold", threshold).startswith("3 of 6 refined")
    assert slide(page, "threshold", 1).startswith("6 of 6 refined")
    kept = "return document.querySelectorAll('#people .person:first-child .fine').length"
    joints = "return document.querySelector('#people .person:first-child .joint').getAttribute('cx')"
    slide(page, "alpha", 1)
    assert (page.execute_script(kept), float(page.execute_script(joints))) == (
        15, people[0]["fine"]["0.3"]["keypoints"][0][0]
    )  # fmt: skip
    slide(page, "alpha", 4)
    assert page.execute_script(kept) == 48
    assert float(page.execute_script(joints)) == people[0]["fine"]["1.0"]["keypoints"][0][0]


def test_a_number_says_how_it_was_made(page, data):
    button = page.find_element("css selector", "#table6a [data-device]:not([hidden]) td button")
    page.execute_script("arguments[0].focus()", button)
    button.send_keys("\n")
    said = page.find_element("id", "made").text
    record = data["records"][button.get_attribute("data-run")]
    for fact in (record["provenance"]["command"], record["provenance"]["git_commit"], record["provenance"]["device"]):
        assert fact in said
    assert page.execute_script("return document.getElementById('made').open")
    page.find_element("css selector", "#made form button").click()
    assert not page.execute_script("return document.getElementById('made').open")


def test_a_number_that_was_computed_says_from_what(page):
    page.execute_script("showRecord('schedules-0')")
    said = page.find_element("id", "made").text
    assert "sharpose table schedules" in said and "computed from the configuration" in said and "Numbers" not in said
    page.execute_script("document.getElementById('made').close()")


def test_a_number_of_several_runs_shows_each(page, data):
    runs = list(data["records"])[:2]
    page.execute_script("showRecord(arguments[0])", " ".join(runs))
    said = page.find_element("id", "made").text
    assert all(run in said for run in runs) and said.count("Asked by") == 2
    page.execute_script("document.getElementById('made').close()")


def test_the_frontier_has_points_with_tips_and_follows_its_choices(page, data):
    count = "return document.querySelectorAll('#frontier .point').length"
    page.execute_script("document.getElementById('frontier-y').value = 'ap_paper'")
    page.execute_script("document.getElementById('frontier-table').value = 'table6a'; drawFrontier()")
    assert page.execute_script(count) == 5
    # whether the window has the focus is up to the system
    page.execute_script("document.querySelector('#frontier .point').dispatchEvent(new Event('focus'))")
    assert "AP, paper" in page.find_element("id", "tip").text
    page.execute_script("document.getElementById('frontier-table').value = 'table3'; drawFrontier()")
    assert page.execute_script(count) == 13


def test_names_of_points_are_ten_at_most_and_the_rest_show_when_touched(page, data):
    page.execute_script("document.getElementById('frontier-y').value = 'ap'")
    page.execute_script("document.getElementById('frontier-table').value = 'frontier'; drawFrontier()")
    points = page.execute_script("return document.querySelectorAll('#frontier .point').length")
    names = page.execute_script("return document.querySelectorAll('#frontier .point text').length")
    assert 1 <= names <= 10 < points


def test_the_page_is_short_and_a_link_opens_its_table(page):
    assert page.execute_script("return document.documentElement.scrollHeight") < 9000
    page.execute_script("location.hash = '#table3'")
    WebDriverWait(page, 60).until(
        lambda one: one.execute_script("return document.querySelector('#table3 details').open")
    )


def test_a_figure_grows_when_it_is_pressed(page):
    button = page.find_element("css selector", "figure button")
    page.execute_script("arguments[0].scrollIntoView()", button)
    width = button.size["width"]
    button.click()
    assert button.get_attribute("aria-expanded") == "true" and button.size["width"] > 1.5 * width


def test_a_phone_scrolls_down_only(page):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.refresh()
    assert page.execute_script("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]


def test_a_screen_reader_finds_names(page):
    nameless = page.execute_script(
        """return [...document.querySelectorAll("button, select, input, [role=img], [role=region], [role=button]")]
        .filter((one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length))
        .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    assert page.execute_script("return [...document.querySelectorAll('table')].every((one) => one.caption)")
    assert page.execute_script("return [...document.images].every((one) => one.alt)")
