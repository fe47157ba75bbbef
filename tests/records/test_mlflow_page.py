"""What a person sees of a search in a browser: MLflow's pages, and the front's own page."""

import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.command_line import free_port, mlflow_runs, start_tunebox
from tests.conftest import RealSearch
from tunebox.records.trial_tables import read_log
from tunebox.trials import TrialLog

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="needs chromium and chromedriver"),
]

WAIT = 60  # seconds: MLflow's pages are large


@pytest.fixture
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1600,1000"):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def front_page(real_search: RealSearch) -> Iterator[str]:
    """The address that ``tunebox ui`` prints for the front, while it serves."""
    port = str(free_port())
    process = start_tunebox("ui", "--out", "out", "--port", port, cwd=real_search.home)
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if "filter runs by" in line:
                break
        found = re.search(r"^the front: (http\S+)$", printed, re.MULTILINE)
        assert found is not None, printed
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert is_free(int(port))


@pytest.fixture(scope="module")
def log(real_search: RealSearch) -> TrialLog:
    return read_log(real_search.folder)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def open_when_served(browser: Any, address: str) -> None:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            browser.get(address)
            return
        except WebDriverException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def drawn_points(browser: Any) -> int:
    """Wait until plotly has drawn, and return how many points there are."""
    points: list[Any] = WebDriverWait(browser, WAIT).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, ".plotly .scatterlayer .points path")
    )
    return len(points)


def results(log: TrialLog) -> list[str]:
    return [trial.trial_id for trial in log.trials.values() if trial.can_be_on_front]


def test_the_runs_page_shows_the_front_and_nothing_else(
    browser: Any, front_page: str, log: TrialLog
) -> None:
    open_when_served(browser, front_page)
    front = sorted(trial.trial_id for trial in log.front())
    links = "//a[contains(@href, '/runs/')]"
    WebDriverWait(browser, WAIT).until(lambda driver: driver.find_elements(By.XPATH, links))
    time.sleep(1)  # whatever else there is comes at the same time
    names = {link.text.strip() for link in browser.find_elements(By.XPATH, links)} - {""}
    assert sorted(names) == front


def test_the_search_has_its_plot_among_the_artifacts(
    browser: Any, front_page: str, real_search: RealSearch, log: TrialLog
) -> None:
    [parent] = mlflow_runs(real_search.out, "tags.`tunebox.kind` = 'search'")
    server = front_page.partition("/#/")[0]
    page = f"{server}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts"
    open_when_served(browser, f"{page}/front.html")
    frame = WebDriverWait(browser, WAIT).until(
        lambda driver: driver.find_element(By.TAG_NAME, "iframe")
    )
    browser.switch_to.frame(frame)
    assert drawn_points(browser) == len(results(log))


def test_the_page_of_the_front_needs_no_network(
    browser: Any, real_search: RealSearch, log: TrialLog
) -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    browser.get(real_search.folder.front_html.as_uri())
    assert drawn_points(browser) == len(results(log))
    legend = {e.text for e in browser.find_elements(By.CSS_SELECTOR, ".plotly .legendtext")}
    methods = {log.trials[trial_id].settings["losses"] for trial_id in results(log)}
    assert legend == {*methods, "front"}
    script = "return performance.getEntriesByType('resource').map(e => e.name)"
    assert [name for name in browser.execute_script(script) if name.startswith("http")] == []
    assert "methods-1" in browser.title
    shown = browser.find_element(By.CSS_SELECTOR, ".plotly .gtitle").text
    assert f"{len(log.trials)} trials, {len(log.front())} on the front" in shown
