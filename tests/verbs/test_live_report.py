"""The report of a search that still runs: asked over HTTP, and seen in a browser."""

from __future__ import annotations

import queue
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser import MARKS, WAIT, start_browser
from tests.contrast import unreadable
from tests.records.make_log import make_log, make_spec
from tunebox.decisions.trials import TrialLog
from tunebox.errors import OptionError, RecordsError
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import write_tables
from tunebox.spec.write import search_yaml
from tunebox.verbs.live_report import serve_report


def write(folder: SearchFolder, log: TrialLog) -> None:
    folder.root.mkdir(exist_ok=True)
    spec = make_spec()
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    write_tables(folder, log, spec.space.leaves)


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    """A search of 20 trials."""
    folder = SearchFolder(tmp_path / "made-1")
    write(folder, make_log(20))
    return folder


@pytest.fixture
def address(folder: SearchFolder) -> str:
    """Its report, served."""
    ready: queue.Queue[str] = queue.Queue()
    options: dict[str, Any] = {"out": folder.root.parent, "on_ready": ready.put}
    threading.Thread(target=serve_report, args=("made-1",), kwargs=options, daemon=True).start()
    return ready.get(timeout=60)


def ask(url: str, **headers: str) -> tuple[int, bytes, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=named)) as answer:
            return answer.status, answer.read(), answer.headers.get("ETag", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""


@pytest.mark.slow
def test_data_are_sent_when_they_are_new(folder: SearchFolder, address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    status, page, _ = ask(address)
    assert (status, b"<html" in page) == (200, True)
    status, first, tag = ask(f"{address}data")
    assert (status, first[:2]) == (200, b"\x1f\x8b")
    assert ask(f"{address}data", If_None_Match=tag)[0] == 304
    write(folder, make_log(21))
    status, second, new_tag = ask(f"{address}data", If_None_Match=tag)
    assert status == 200
    assert (second != first, new_tag != tag) == (True, True)
    folder.trials.write_bytes(b"damaged")
    status, reason, _ = ask(f"{address}data")
    assert (status, b"trials.parquet" in reason) == (503, True)
    write(folder, make_log(21))
    assert ask(f"{address}data", If_None_Match=new_tag)[0] == 304


@pytest.mark.slow
def test_a_page_elsewhere_gets_nothing(address: str) -> None:
    assert ask(f"{address}data", Host="evil.example:80")[:2] == (403, b"")
    assert ask(f"{address}../../etc/passwd")[0] == 404
    assert ask(f"{address}data", Host=address[7:-1].replace("127.0.0.1", "localhost"))[0] == 200


def test_mistakes_are_found_at_the_start(folder: SearchFolder) -> None:
    with pytest.raises(RecordsError, match="no search 'absent-1'"):
        serve_report("absent-1", out=folder.root.parent)
    with pytest.raises(OptionError, match=r"port 99999: .*; leave it out for a free one"):
        serve_report("made-1", out=folder.root.parent, port=99999)
    folder.history.write_bytes(b"damaged")
    with pytest.raises(RecordsError, match=r"history\.parquet"):
        serve_report("made-1", out=folder.root.parent)


class TestInBrowser:
    pytestmark = MARKS

    def test_zoom_view_and_trial_stay_when_trials_come(
        self, folder: SearchFolder, address: str
    ) -> None:
        browser = start_browser(1400, 1000)
        try:
            browser.get(address)
            wait(browser, "return document.body.dataset.ready === 'yes'")
            wait(browser, "return document.querySelector('.plot').dataset.drawn === 'yes'")
            assert unreadable(browser) == []
            browser.find_element(By.CSS_SELECTOR, "tr[data-key]").click()
            chosen = browser.find_element(By.CSS_SELECTOR, "#trial h3").text
            plane = browser.find_element(By.CSS_SELECTOR, "figure .nsewdrag")
            drag = ActionChains(browser).move_to_element(plane).click_and_hold()
            drag.move_by_offset(150, 100).release().perform()
            time.sleep(0.5)  # plotly moves to the new range
            script = "return document.querySelector('figure .plot').layout.xaxis.range"
            zoomed = browser.execute_script(script)
            browser.execute_script("window.same = true; window.scrollTo(0, 150)")
            write(folder, make_log(45))
            wait(browser, "return document.querySelector('.summary').textContent.includes('45 t')")
            script_of_points = (
                "return document.querySelectorAll('figure .plot .points path').length"
            )
            assert browser.execute_script(script) == zoomed
            assert browser.execute_script(script_of_points) >= 45
            assert browser.execute_script("return window.same && window.scrollY") == 150
            assert browser.find_element(By.CSS_SELECTOR, "#trial h3").text == chosen
            assert browser.find_element(By.ID, "status").text == "Live"
            assert unreadable(browser) == []
            loaded = "return performance.getEntriesByType('resource').map(e => e.name)"
            asked = {url for url in browser.execute_script(loaded) if not url.startswith("data:")}
            assert asked == {f"{address}data"}
            folder.trials.write_bytes(b"damaged")
            wait(
                browser, "return document.getElementById('status').textContent.includes('parquet')"
            )
            assert [e for e in browser.get_log("browser") if "503" not in e["message"]] == []
        finally:
            browser.quit()


def wait(browser: Any, script: str) -> None:
    WebDriverWait(browser, WAIT).until(lambda driver: driver.execute_script(script))
