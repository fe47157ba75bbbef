"""The page of a report as a person sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import MARKS, WAIT, start_browser
from tests.records.make_log import make_log
from tests.reports.report.pages import SOME_OBJECTIVES, study_of
from tunebox.decisions.trials import TrialLog
from tunebox.reports.report.page import write_report

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = start_browser(1400, 1000)
    # nothing outside can be reached
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


def show(browser: Any, tmp_path: Path, *logs: TrialLog, width: int = 1400) -> None:
    """Open a report in a window that is so high that all its figures are drawn."""
    path = tmp_path / "report.html"
    write_report([study_of(log, f"made-{number}") for number, log in enumerate(logs, 1)], path)
    size = {"width": width, "height": 20_000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get(path.as_uri())
    wait(browser, "return document.body.dataset.ready === 'yes'")
    wait(browser, "return [...document.querySelectorAll('.plot')].every(p => p.dataset.drawn)")


def wait(browser: Any, script: str) -> None:
    WebDriverWait(browser, WAIT).until(lambda driver: driver.execute_script(script))


def points_of(figure: Any) -> list[Any]:
    points: list[Any] = figure.find_elements(By.CSS_SELECTOR, ".scatterlayer .points path")
    return points


def is_inside(point: Any, figure: Any) -> bool:
    """Return whether a point is in the part of the plane that a figure shows."""
    plane = figure.find_element(By.CLASS_NAME, "nsewdrag").rect
    x, y = (point.rect[a] + point.rect[b] / 2 for a, b in (("x", "width"), ("y", "height")))
    return bool(0 < x - plane["x"] < plane["width"] and 0 < y - plane["y"] < plane["height"])


def shown_range(browser: Any) -> list[float]:
    """Return the range of the horizontal axis of the first figure."""
    script = "return document.querySelector('figure .plot').layout.xaxis.range"
    shown: list[float] = browser.execute_script(script)
    return shown


def set_scheme(browser: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.mark.parametrize(
    ("num_objectives", "width", "scheme"),
    [
        *((2, 1400, "light"), (2, 1400, "dark"), (2, 500, "light"), (2, 500, "dark")),
        *((1, 500, "dark"), (3, 500, "light"), (4, 1400, "dark")),
    ],
)
def test_a_report_is_drawn_without_an_error_or_a_request(
    browser: Any, tmp_path: Path, num_objectives: int, width: int, scheme: str
) -> None:
    log = make_log(40, objectives=SOME_OBJECTIVES[num_objectives - 1])
    set_scheme(browser, scheme)
    show(browser, tmp_path, log, width=width)
    assert browser.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert [name for name in browser.execute_script(loaded) if not name.startswith("data:")] == []
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    wide = "return document.documentElement.scrollWidth"
    assert browser.execute_script(wide) <= width  # nothing sticks out
    figure = browser.find_elements(By.CSS_SELECTOR, "figure")[0]
    assert len(points_of(figure)) == sum(bool(trial.history) for trial in log.trials.values())
    titles = [title.text for title in browser.find_elements(By.TAG_NAME, "h2")]
    assert titles[0] == "Front"
    assert titles[-1] == "Progress"


def test_a_click_shows_a_trial_and_keeps_the_zoom(browser: Any, tmp_path: Path) -> None:
    log = make_log(40)
    show(browser, tmp_path, log)
    before = shown_range(browser)
    row = browser.find_elements(By.CSS_SELECTOR, "tr[data-key]")[0]
    trial = log.front()[0]
    row.click()
    aside = browser.find_element(By.ID, "trial")
    assert f"made-1/{trial.trial_id}" in aside.text
    assert f"tunebox export made-1 --pick {trial.trial_id} --to exported" in aside.text
    assert all(path in aside.text for path in (*trial.settings, *trial.last_metrics))
    wait(browser, "return document.querySelectorAll('#trial .scatterlayer .js-line').length == 2")
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    assert not aside.is_displayed()
    plane = browser.find_element(By.CSS_SELECTOR, "figure .nsewdrag")
    drag = ActionChains(browser).move_to_element(plane).click_and_hold()
    drag.move_by_offset(150, 100).release().perform()
    time.sleep(0.5)  # plotly moves to the new range
    zoomed = shown_range(browser)
    assert zoomed != before
    row.click()
    assert shown_range(browser) == zoomed
    views = browser.find_elements(By.CSS_SELECTOR, ".views")[0]
    front, all_trials = views.find_elements(By.TAG_NAME, "button")
    all_trials.click()
    low, high = shown_range(browser)
    values = [t.last_metrics["clean_accuracy"] for t in log.trials.values() if t.history]
    assert low < min(values)
    assert high > max(values)
    front.click()
    assert shown_range(browser) == before


def test_a_click_on_a_point_shows_its_trial_in_every_panel(browser: Any, tmp_path: Path) -> None:
    log = make_log(40, objectives=SOME_OBJECTIVES[2])
    show(browser, tmp_path, log)
    figure = browser.find_elements(By.TAG_NAME, "figure")[0]
    point = next(point for point in points_of(figure) if is_inside(point, figure))
    ActionChains(browser).move_to_element(point).pause(0.3).click().perform()
    wait(browser, "return document.querySelector('#trial h3')")
    shown = browser.find_element(By.CSS_SELECTOR, "#trial h3").text
    assert shown.removeprefix("made-1/") in log.trials
    marked = """
        return [...document.querySelectorAll('figure .plot')].slice(0, 3).map(
            plot => plot.data.filter(trace => trace.marker?.size === 20).length
        )
    """
    assert browser.execute_script(marked) == [1, 1, 1]


def test_several_searches_in_one_report(browser: Any, tmp_path: Path) -> None:
    show(browser, tmp_path, make_log(20), make_log(20, seed=1))
    headings = [title.text for title in browser.find_elements(By.TAG_NAME, "h1")]
    assert headings == ["Comparison", "made-1", "made-2"]
    assert browser.get_log("browser") == []
