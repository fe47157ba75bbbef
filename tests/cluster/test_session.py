"""What a laptop makes of how a search and its job ended; the head is this machine."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.cluster.fake_ray import Details, Ray, Status
from tests.cluster.search_there import write_search
from tests.cluster.test_site import make_head
from tests.command_line import free_port
from tunebox import __version__
from tunebox.cluster.head import HeadAway
from tunebox.cluster.pages import tunnel_to_pages
from tunebox.cluster.session import ClusterSession
from tunebox.cluster.site import RemoteSearch
from tunebox.errors import ClusterError, NoResultError
from tunebox.records.search_folder import SearchFolder

ATTACH = "tunebox attach s --cluster cluster.yaml"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the cluster keeps its searches."""
    return tmp_path / "there"


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def session(
    tmp_path: Path, out: Path, ray: Ray, printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> ClusterSession:
    head = make_head(tmp_path, f"tunebox {__version__}", TUNEBOX_OUT=str(out))
    monkeypatch.setattr("tunebox.cluster.session.find_head", lambda _: head)
    monkeypatch.setattr("tunebox.cluster.session._LOOK_SECONDS", 0.01)
    return ClusterSession("cluster.yaml", Console(file=printed, width=200))


def job(ray: Ray, exit_code: int | None) -> None:
    """A job that an earlier session has handed over."""
    ray.jobs.append(
        Details("tunebox-s", {"tunebox.hand_over": "earlier"}, Status.FAILED, exit_code)
    )


def hand_over(session: ClusterSession, ray: Ray, exit_code: int | None, *said: str) -> None:
    session.start("s", ["--resume=s"], {})
    ray.said = list(said)
    ray.jobs[0].status, ray.jobs[0].driver_exit_code = Status.FAILED, exit_code


@pytest.mark.parametrize("exit_code", [2, None, 1])
def test_a_search_that_has_ended_comes_home_whatever_a_later_job_came_to(
    session: ClusterSession, ray: Ray, out: Path, tmp_path: Path, exit_code: int | None
) -> None:
    """As after a resume that was refused, or one by hand after the job was killed."""
    write_search(out, "s")
    job(ray, exit_code)
    result = session.attach("s", tmp_path / "home")
    assert (result.name, result.ended) == ("s", "all trials have ended")
    assert SearchFolder(tmp_path / "home" / "s").trials.exists()


def test_what_this_hand_over_was_refused_for_is_told(
    session: ClusterSession, ray: Ray, out: Path, tmp_path: Path
) -> None:
    write_search(out, "s")
    job(ray, 0)
    hand_over(session, ray, 2, "joined\nerror: --seed 9: no\n")
    with pytest.raises(ClusterError, match=r"^--seed 9: no$"):
        session.attach("s", tmp_path / "home")


def test_a_run_that_was_killed_is_said_to_be(
    session: ClusterSession, ray: Ray, out: Path, tmp_path: Path
) -> None:
    there = write_search(out, "s")
    hand_over(session, ray, None)
    with pytest.raises(NoResultError, match="s was killed; go on with it"):
        session.attach("s", tmp_path / "home")  # before it had begun: the end is the last run's
    ray.jobs[0].metadata = {}
    there.run_end.unlink()
    with pytest.raises(NoResultError, match="s was killed; go on with it"):
        session.attach("s", tmp_path / "home")


def test_a_job_without_a_word_leaves_rays(
    session: ClusterSession, ray: Ray, tmp_path: Path
) -> None:
    hand_over(session, ray, None)
    ray.jobs[0].message = "its environment could not be made"
    with pytest.raises(NoResultError, match=r"^error: its environment could not be made$"):
        session.attach("s", tmp_path / "home")


def test_what_comes_before_the_first_trial_is_shown_once(
    session: ClusterSession, ray: Ray, tmp_path: Path, printed: io.StringIO
) -> None:
    session.start("s", ["s.yaml"], {})
    ray.said = ["s: joined\ndata: fet", "ched\n", "", "error: no room\n"]
    with pytest.raises(NoResultError, match=r"error: no room$"):
        session.attach("s", tmp_path / "home")
    assert printed.getvalue().splitlines()[1:] == ["s: joined", "data: fetched", "error: no room"]


def test_ctrl_c_while_it_is_handed_over_says_how_to_look_and_to_end(
    session: ClusterSession, ray: Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "submit_job", press)
    with pytest.raises(NoResultError) as left:
        session.start("s", ["s.yaml"], {})
    assert left.value.exit_code == 130
    assert str(left.value) == (
        f"s may run; watch it with: {ATTACH}, or end it with: {ATTACH.replace('attach', 'stop')}"
    )


def test_a_head_that_stays_away_leaves_the_command_to_come_back(
    session: ClusterSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: RemoteSearch) -> int:
        raise HeadAway("no answer")

    monkeypatch.setattr(RemoteSearch, "driver", away)
    monkeypatch.setattr("tunebox.cluster.patience._GIVE_UP_SECONDS", -1.0)
    with pytest.raises(ClusterError, match=f"^no answer; what runs there goes on.*: {ATTACH}$"):
        session.attach("s", tmp_path / "home")


def test_there_is_nothing_to_go_on_with_when_it_is_stopped_before_it_begins(
    session: ClusterSession, ray: Ray, out: Path
) -> None:
    session.start("s", ["s.yaml"], {})
    assert not session.stop("s")
    assert ray.told[-1] == "stop tunebox-s"
    write_search(out, "s")  # a resume that has not begun
    assert session.stop("s")


def test_pages_that_do_not_answer_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "http://127.0.0.1:5000"
    head = make_head(tmp_path, f"tunebox {__version__}", TUNEBOX_OUT="/o", MLFLOW_TRACKING_URI=uri)
    monkeypatch.setattr("tunebox.cluster.pages.find_head", lambda _: head)
    with pytest.raises(ClusterError, match=f"MLflow does not answer on the head here at {uri}"):
        tunnel_to_pages("cluster.yaml", free_port(), Console(file=io.StringIO()))
