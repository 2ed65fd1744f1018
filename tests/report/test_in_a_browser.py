"""The pages in a real browser, where there is one."""

import json
import re
import threading

import pytest
from browser import browser_page
from long_run import GrowingRun

from parsl_tl.report.dashboard import Dashboard
from parsl_tl.report.page import report_page

pytestmark = pytest.mark.slow


def test_the_report(run, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report_page([run]))
    with browser_page(390, color_scheme="dark") as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert asked == [file.as_uri()]
        # Nothing is wider than a phone.
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        rows = page.locator(".rows tbody tr:not(.gap)")
        assert rows.first.inner_text().startswith(f"#{run.frame['job'].max()}")
        assert rows.count() < 60 < len(run.frame)
        page.evaluate("b = document.querySelector('.rows'); b.scrollTop = b.scrollHeight")
        rows.filter(has_text=re.compile("^#0")).wait_for()
        page.locator(".rows thead button", has_text="objective").click()
        shown = float(rows.first.locator("td").nth(1).inner_text())
        assert shown == pytest.approx(run.good["objective"].max(), abs=1e-4)
        head = page.locator(".rows th", has_text="objective")
        assert head.get_attribute("aria-sort") == "descending"
        box = page.locator("[data-zoom] svg")
        before = box.get_attribute("viewBox")
        page.locator("[data-zoom]").get_by_role("button", name="Zoom in").click()
        assert float(box.get_attribute("viewBox").split()[2]) < float(before.split()[2])


def test_the_timeline_is_zoomed_by_keys_and_pointer(run, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report_page([run]))
    with browser_page() as page:
        page.goto(file.as_uri())
        box = page.locator("[data-time]")
        lanes, told = box.locator("svg.lanes"), box.locator("p")

        def seen():
            left, _, width, _ = map(float, lanes.get_attribute("viewBox").split())
            return left, width

        def ticks():
            return box.locator(".across text").all_text_contents()

        (left, width), whole = seen(), ticks()
        assert told.inner_text() == ""
        box.focus()
        for _ in range(9):
            page.keyboard.press("+")
        assert seen()[1] < width / 10
        assert ticks() != whole
        # Close up, the evaluations in sight are there one by one, and say what they were.
        spans = box.locator(".span")
        assert f"{spans.count()} evaluations" in told.inner_text()
        assert 0 < spans.count() < len(run.frame) / 3
        job = int(spans.first.locator("title").text_content().partition(":")[0].removeprefix("#"))
        row = run.frame[run.frame["job"] == job].iloc[0]
        assert row["lane"] == lanes_of(lanes)[lane_at(spans.first, lanes)]
        before = seen()[0]
        page.keyboard.press("ArrowRight")
        assert seen()[0] > before
        place = box.locator("svg.plot").bounding_box()
        x, y = place["x"] + place["width"] * 0.6, place["y"] + place["height"] * 0.3
        before = seen()[0]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 100, y)
        page.mouse.up()
        assert seen()[0] < before  # what was to the left comes into sight
        before = seen()[1]
        page.keyboard.down("Control")
        page.mouse.wheel(0, 300)
        page.keyboard.up("Control")
        page.wait_for_function(
            "w => +document.querySelector('svg.lanes').getAttribute('viewBox').split(' ')[2] > w",
            arg=before,
        )
        page.keyboard.press("0")
        assert seen() == (left, width)
        assert ticks() == whole
        lineage = page.locator("[data-zoom]")
        before = lineage.locator("svg").get_attribute("viewBox")
        lineage.focus()
        page.keyboard.press("+")
        assert lineage.locator("svg").get_attribute("viewBox") != before


def lanes_of(lanes):
    return json.loads(lanes.get_attribute("data-lanes"))


def lane_at(span, lanes):
    """Returns in which row an evaluation is drawn."""
    _, top, _, height = map(float, lanes.get_attribute("viewBox").split())
    middle = float(span.get_attribute("y")) + float(span.get_attribute("height")) / 2
    return int((middle - top) / height * len(lanes_of(lanes)))


def test_the_live_page(folder, tmp_path):
    growing = GrowingRun(folder, tmp_path)
    growing.grow(200)
    with Dashboard([tmp_path]) as board:
        thread = threading.Thread(target=board.serve)
        thread.start()
        try:
            with browser_page() as page:
                page.goto(board.address)
                page.wait_for_selector(".rows tbody tr:not(.gap)")
                known = int(page.locator(".rows table").get_attribute("aria-rowcount"))
                reason = page.locator("#why-0 details.card").first
                reason.locator("summary").first.click()
                growing.grow(len(growing.lines))
                page.wait_for_selector(".rows table[aria-rowcount='301']")
                assert known < 301
                page.evaluate("document.activeElement.blur()")
                page.locator("#run-0", has_text="300 of 304").wait_for()
                assert page.locator("#why-0 details.card").first.get_attribute("open") is not None
                assert page.locator(".live").inner_text() == "no news"
        finally:
            board.close()
            thread.join()
