"""What a person sees of a search in MLflow's pages."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import MARKS, WAIT, start_browser
from tests.command_line import free_port, mlflow_runs, start_tunebox
from tests.conftest import RealSearch
from tunebox.decisions.trials import TrialLog
from tunebox.records.trial_tables import read_log

pytestmark = MARKS
NAME = "methods-1"


@pytest.fixture
def browser() -> Iterator[Any]:
    driver = start_browser()
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


def test_the_runs_page_shows_the_front_and_nothing_else(
    browser: Any, front_page: str, log: TrialLog
) -> None:
    open_when_served(browser, front_page)
    front = sorted(f"{NAME}/{trial.trial_id}" for trial in log.front())
    links = "//a[contains(@href, '/runs/')]"
    WebDriverWait(browser, WAIT).until(lambda driver: driver.find_elements(By.XPATH, links))
    time.sleep(1)  # whatever else there is comes at the same time
    names = {link.text.strip() for link in browser.find_elements(By.XPATH, links)} - {""}
    assert sorted(names) == front
    heads = browser.find_elements(By.CSS_SELECTOR, "[role=columnheader]")
    shown = " ".join(head.text for head in heads)
    assert all(name in shown for name in log.objectives.names)


def test_the_search_has_its_report_among_the_artifacts(
    browser: Any, front_page: str, real_search: RealSearch, log: TrialLog
) -> None:
    [parent] = mlflow_runs(real_search.out, "tags.`tunebox.kind` = 'search'")
    server = front_page.partition("/#/")[0]
    page = f"{server}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}/artifacts"
    open_when_served(browser, f"{page}/report.html")
    frame = WebDriverWait(browser, WAIT).until(
        lambda driver: driver.find_element(By.TAG_NAME, "iframe")
    )
    browser.switch_to.frame(frame)
    # drawn, though the frame has no address of its own
    WebDriverWait(browser, WAIT).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, ".plotly .scatterlayer .points path")
    )
    rows = browser.find_elements(By.CSS_SELECTOR, "tr[data-key]")
    front = [f"{real_search.name}/{trial.trial_id}" for trial in log.front()]
    assert [row.get_attribute("data-key") for row in rows] == front
