"""What a laptop makes of how a search and its job ended; the head is this machine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.command_line import SEARCH_FILE, free_port
from tests.remote.fake_ray import Details, Ray, Status
from tests.remote.search_there import write_search
from tests.remote.test_remote_search import make_head
from tunebox import __version__
from tunebox.errors import ClusterError, NoResultError
from tunebox.records.search_folder import SearchFolder
from tunebox.remote.head import HeadUnreachable
from tunebox.remote.remote_search import RemoteSearch
from tunebox.spec.load import load_spec
from tunebox.spec.yaml_source import parse_yaml
from tunebox.verbs.cluster_search import ClusterSession, search_on_cluster
from tunebox.verbs.cluster_ui import tunnel_to_pages

ATTACH = "tunebox attach s --cluster cluster.yaml"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where the cluster keeps its searches."""
    return tmp_path / "there"


@pytest.fixture
def lines() -> list[str]:
    """What the session has noted."""
    return []


@pytest.fixture
def session(
    tmp_path: Path, out: Path, ray: Ray, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> ClusterSession:
    head = make_head(tmp_path, f"tunebox {__version__}", TUNEBOX_OUT=str(out))
    monkeypatch.setattr("tunebox.verbs.cluster_search.find_head", lambda _: head)
    monkeypatch.setattr("tunebox.verbs.cluster_search._POLL_SECONDS", 0.01)
    return ClusterSession("cluster.yaml", note=lines.append)


def job(ray: Ray, exit_code: int | None) -> None:
    """A job that an earlier session has handed over."""
    ray.jobs.append(
        Details("tunebox-s", {"tunebox.submission": "earlier"}, Status.FAILED, exit_code)
    )


def hand_over(session: ClusterSession, ray: Ray, exit_code: int | None, *said: str) -> None:
    session.start("s", ["--resume=s"], {})
    ray.said = list(said)
    ray.jobs[0].status, ray.jobs[0].driver_exit_code = Status.FAILED, exit_code


@pytest.mark.parametrize("exit_code", [2, None, 1])
def test_an_ended_search_is_downloaded_whatever_the_result_of_a_later_job(
    session: ClusterSession, ray: Ray, out: Path, tmp_path: Path, exit_code: int | None
) -> None:
    """As after a resume that was refused, or one by hand after the job was killed."""
    write_search(out, "s")
    job(ray, exit_code)
    result = session.attach("s", tmp_path / "home")
    assert (result.name, result.ended) == ("s", "all trials have ended")
    assert SearchFolder(tmp_path / "home" / "s").trials.exists()


def test_the_reason_for_a_refusal_is_raised(
    session: ClusterSession, ray: Ray, out: Path, tmp_path: Path
) -> None:
    write_search(out, "s")
    job(ray, 0)
    hand_over(session, ray, 2, "joined\nerror: --seed 9: no\n")
    with pytest.raises(ClusterError, match=r"^--seed 9: no$"):
        session.attach("s", tmp_path / "home")


def test_a_killed_run_is_reported_as_killed(
    session: ClusterSession, ray: Ray, out: Path, tmp_path: Path
) -> None:
    there = write_search(out, "s")
    hand_over(session, ray, None)
    with pytest.raises(NoResultError, match="s was killed; continue it"):
        session.attach("s", tmp_path / "home")  # before it had begun: the end is the last run's
    ray.jobs[0].metadata = {}
    there.run_end.unlink()
    with pytest.raises(NoResultError, match="s was killed; continue it"):
        session.attach("s", tmp_path / "home")


def test_a_job_without_output_is_explained_by_the_message_of_ray(
    session: ClusterSession, ray: Ray, tmp_path: Path
) -> None:
    hand_over(session, ray, None)
    ray.jobs[0].message = "its environment could not be made"
    with pytest.raises(NoResultError, match=r"^error: its environment could not be made$"):
        session.attach("s", tmp_path / "home")


def test_what_comes_before_the_first_trial_is_shown_once(
    session: ClusterSession, ray: Ray, tmp_path: Path, lines: list[str]
) -> None:
    session.start("s", ["s.yaml"], {})
    ray.said = ["s: joined\ndata: fet", "ched\n", "", "error: no room\n"]
    with pytest.raises(NoResultError, match=r"error: no room$"):
        session.attach("s", tmp_path / "home")
    assert lines[1:] == ["s: joined", "data: fetched", "error: no room"]


def test_ctrl_c_during_submission_says_how_to_attach_and_stop(
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


def test_an_unreachable_head_leaves_the_command_to_attach_again(
    session: ClusterSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: RemoteSearch) -> int:
        raise HeadUnreachable("no answer")

    monkeypatch.setattr(RemoteSearch, "driver", away)
    monkeypatch.setattr("tunebox.remote.retry._MAX_SECONDS", -1.0)
    with pytest.raises(
        ClusterError, match=f"^no answer; searches there keep running; .*: {ATTACH}$"
    ):
        session.attach("s", tmp_path / "home")


def test_a_search_stopped_before_it_began_cannot_be_resumed(
    session: ClusterSession, ray: Ray, out: Path
) -> None:
    session.start("s", ["s.yaml"], {})
    assert not session.stop("s")
    assert ray.requests[-1] == "stop tunebox-s"
    write_search(out, "s")  # a resume that has not begun
    assert session.stop("s")


@pytest.mark.parametrize("is_checked", [False, True])
def test_a_search_given_as_data_is_sent_as_a_file(
    session: ClusterSession, ray: Ray, tmp_path: Path, is_checked: bool
) -> None:
    tree = parse_yaml(SEARCH_FILE, "made.yaml").data
    given = load_spec(tree, {"seed": 9}) if is_checked else tree
    with pytest.raises(NoResultError, match="no reason given"):
        search_on_cluster("cluster.yaml", given, out=str(tmp_path / "home"), trials=5)
    request = ray.requests[-1]
    assert "tunebox search --trials=5 search.yaml" in request
    text = ast.literal_eval(request.partition(" with ")[2])["search.yaml"]
    sent = parse_yaml(text, "search.yaml").data
    assert sent["losses"] == tree["losses"]
    assert sent["search"]["seed"] == (9 if is_checked else tree["search"]["seed"])


def test_an_mlflow_that_does_not_answer_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "http://127.0.0.1:5000"
    head = make_head(tmp_path, f"tunebox {__version__}", TUNEBOX_OUT="/o", MLFLOW_TRACKING_URI=uri)
    monkeypatch.setattr("tunebox.verbs.cluster_ui.find_head", lambda _: head)
    with pytest.raises(ClusterError, match=f"MLflow does not answer on the head here at {uri}"):
        tunnel_to_pages("cluster.yaml", free_port(), print)
