"""The pages in a real browser, where there is one."""

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
        page.get_by_role("button", name="Zoom in").click()
        assert float(box.get_attribute("viewBox").split()[2]) < float(before.split()[2])


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
