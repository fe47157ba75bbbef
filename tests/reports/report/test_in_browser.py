"""The page of a report as a person sees it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import MARKS, WAIT, start_browser
from tests.contrast import unreadable
from tests.records.make_log import CLEAN, make_log
from tests.reports.report.pages import SOME_OBJECTIVES, study_of
from tunebox.decisions.confirmed import Confirmed, ConfirmedTrial, Estimate
from tunebox.decisions.trials import TrialLog
from tunebox.reports.report.page import write_report
from tunebox.reports.report.study import Study

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
    studies = [study_of(log, f"made-{number}") for number, log in enumerate(logs, 1)]
    show_studies(browser, tmp_path, studies, width=width)


def show_studies(browser: Any, tmp_path: Path, studies: list[Study], *, width: int) -> None:
    """Open a report in a window that is so high that all its figures are drawn."""
    path = tmp_path / "report.html"
    write_report(studies, path)
    height = 20_000 * len(studies)
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
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


def confirmed_study() -> Study:
    """A search whose front was trained again: the first has intervals, the last is one seed."""
    study = study_of(make_log(40))
    front = study.log.front()
    rows = []
    for number, trial in enumerate(front):
        values = {name: trial.last_metrics[name] for name in study.log.objectives.names}
        width = math.nan if number == len(front) - 1 else 0.02
        means = {name: Estimate(value, width) for name, value in values.items()}
        alike = (front[1].trial_id,) if number == 0 and len(front) > 1 else ()
        row = ConfirmedTrial(
            trial.trial_id,
            num_seeds=3,
            num_collapsed=0,
            searched=values,
            means=means,
            test_means={},
            best_guesses=dict(values),
            front_share=0.5,
            on_front=True,
            is_knee=number == 0,
            alike=alike,
        )
        rows.append(row)
    names = study.log.objectives.names
    too_good = {name: Estimate(0.01, 0.02) for name in names}
    return replace(study, confirmed=Confirmed(rows, Estimate(0.5, 0.01), too_good, {}, names))


PAGES: dict[str, Callable[[], list[Study]]] = {
    "one objective": lambda: [study_of(make_log(40, objectives=SOME_OBJECTIVES[0]))],
    "two objectives": lambda: [study_of(make_log(60))],
    "three objectives": lambda: [study_of(make_log(40, objectives=SOME_OBJECTIVES[2]))],
    "four objectives": lambda: [study_of(make_log(40, objectives=SOME_OBJECTIVES[3]))],
    "several searches": lambda: [
        study_of(make_log(20), "made-1"),
        study_of(make_log(20, seed=1), "made-2"),
        study_of(make_log(20, objectives=SOME_OBJECTIVES[2]), "made-3"),
    ],
    "a confirmed front": lambda: [confirmed_study()],
}
BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1400, 500])
def test_a_report_is_drawn_and_can_be_read(
    browser: Any, tmp_path: Path, name: str, width: int
) -> None:
    """No error, no request, nothing beside the page, and enough contrast, by day and by night."""
    studies = PAGES[name]()
    set_scheme(browser, "light")
    show_studies(browser, tmp_path, studies, width=width)
    browser.find_elements(By.CSS_SELECTOR, "tr[data-key]")[0].click()  # the trial can be read too
    for scheme, background in BACKGROUNDS.items():
        set_scheme(browser, scheme)
        shown = "return getComputedStyle(document.body).backgroundColor"
        wait(browser, f"{shown} === '{background}'")
        assert unreadable(browser) == []
    assert browser.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert [url for url in browser.execute_script(loaded) if not url.startswith("data:")] == []
    wide = "return document.documentElement.scrollWidth"
    assert browser.execute_script(wide) <= width  # nothing sticks out
    for section in browser.find_elements(By.TAG_NAME, "section"):
        assert section.find_elements(By.CSS_SELECTOR, "h2")
        assert section.find_element(By.CSS_SELECTOR, ".sentences").text
    if len(studies) == 1:
        figure = browser.find_elements(By.CSS_SELECTOR, "figure")[0]
        drawn = sum(bool(trial.history) for trial in studies[0].log.trials.values())
        assert len(points_of(figure)) - marked_points(figure) == drawn


def marked_points(figure: Any) -> int:
    """How many points of a figure are the ring around the clicked trial."""
    script = "return arguments[0].querySelector('.plot').data.filter(t => t.marker?.size === 20)"
    return len(figure.parent.execute_script(script, figure))


def test_a_check_of_contrast_finds_what_cannot_be_read(browser: Any, tmp_path: Path) -> None:
    """Grey of WCAG's own examples: #767676 on white has 4.54, #777777 has 4.48."""
    page = tmp_path / "page.html"
    texts = [
        '<p style="color: #767676">enough</p><p style="color: #777777">a little less</p>',
        '<p style="color: #777777; font-size: 24px">large</p>',
        '<div style="background: #000"><p style="color: #fff; opacity: 0.4">faint</p></div>',
        '<svg><text y="20" fill="#ccc">drawn</text></svg>',
    ]
    page.write_text("".join(texts), encoding="utf-8")
    browser.get(page.as_uri())
    found = [text.partition(":")[0] for text in unreadable(browser)]
    assert found == ["a little less", "faint", "drawn"]


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
    front, all_trials, box, _ = views.find_elements(By.TAG_NAME, "button")
    all_trials.click()
    low, high = shown_range(browser)
    values = [t.last_metrics["clean_accuracy"] for t in log.trials.values() if t.history]
    assert low < min(values)
    assert high > max(values)
    box.click()
    low, high = shown_range(browser)
    assert low < CLEAN.reference
    assert high > max(trial.last_metrics["clean_accuracy"] for trial in log.front())
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


def test_a_box_marks_its_trials_in_every_panel(browser: Any, tmp_path: Path) -> None:
    log = make_log(40, objectives=SOME_OBJECTIVES[2])
    show(browser, tmp_path, log)
    browser.find_elements(By.CSS_SELECTOR, "button.select")[0].click()
    plane = browser.find_element(By.CSS_SELECTOR, "figure .nsewdrag")
    drag = ActionChains(browser).move_to_element_with_offset(plane, -100, -60).click_and_hold()
    drag.move_by_offset(100, 60).move_by_offset(100, 60).release().perform()
    chosen = """
        return [...document.querySelectorAll('figure .plot')].slice(0, 3).map((plot) =>
            plot.data.flatMap((t) => (t.selectedpoints ?? []).map((at) => t.customdata[at])).sort()
        )
    """
    first_trace = "document.querySelector('figure .plot').data[0]"
    wait(browser, f"return {first_trace}.selectedpoints !== undefined")
    first, second, third = browser.execute_script(chosen)
    assert 0 < len(first) < len(log.trials)
    assert first == second == third
    browser.find_elements(By.CSS_SELECTOR, "button.select")[0].click()
    assert browser.execute_script(chosen) == [[], [], []]


def test_several_searches_in_one_report(browser: Any, tmp_path: Path) -> None:
    show(browser, tmp_path, make_log(20), make_log(20, seed=1))
    headings = [title.text for title in browser.find_elements(By.TAG_NAME, "h1")]
    assert headings == ["Comparison", "made-1", "made-2"]
    assert browser.get_log("browser") == []
