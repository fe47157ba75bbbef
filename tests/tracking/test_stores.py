import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import create_engine

from tunebox.errors import RecordsError
from tunebox.tracking.sqlite_uri import sqlite_file
from tunebox.tracking.stores import (
    get_or_create_experiment,
    is_store,
    local_uri,
    portable_uri,
    public_uri,
    resolve_tracking_uri,
    ui_address,
    ui_command,
    without_credentials,
)


def test_the_option_wins_over_the_variable_over_the_output_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-variable:5000")
    assert resolve_tracking_uri("sqlite:///option.db", tmp_path) == "sqlite:///option.db"
    assert resolve_tracking_uri(None, tmp_path) == "http://from-variable:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    assert resolve_tracking_uri(None, Path("out")) == f"sqlite:///{tmp_path}/out/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["mysql+pymysql://u@h/d", "databricks", "databricks://p", "https://h"]
)
def test_stores_of_mlflow_are_taken(uri: str, tmp_path: Path) -> None:
    assert resolve_tracking_uri(uri, tmp_path) == uri


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "htp://me:secret@host"])
def test_what_mlflow_cannot_use_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="sqlite:///FILE") as caught:
        resolve_tracking_uri(uri, tmp_path)
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_not_utf8_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / os.fsdecode(b"r\xe9sultats") / "out"
    for option in (None, "sqlite:///option.db"):
        with pytest.raises(RecordsError, match=r"r\\xe9sultats/out is not in UTF-8, .* --out$"):
            resolve_tracking_uri(option, out)
    assert resolve_tracking_uri("http://has-its-own-place", out) == "http://has-its-own-place"
    out.mkdir(parents=True)
    monkeypatch.chdir(out.parent)
    with pytest.raises(RecordsError, match="is not in UTF-8"):
        resolve_tracking_uri(None, Path("out"))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://me:secret@host:5000/path?token=x", "http://host:5000/path"),
        ("postgresql://me:p@ss@db/runs?password=x", "postgresql://db/runs"),
        ("postgresql:///runs?password=x", "postgresql:///runs"),
        ("sqlite:////abs/a@b/mlflow.db", "sqlite:////abs/a@b/mlflow.db"),
        ("sqlite:////abs/a#b/mlflow.db?password=x", "sqlite:////abs/a#b/mlflow.db"),
        ("sqlite:///relative.db", "sqlite:///relative.db"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("http://host:5000/team@work/mlflow", "http://host:5000/team@work/mlflow"),
        ("http://me:secret@host/team@work", "http://host/team@work"),
        ("http://secret@host", "http://host"),
        ("http://me:sec/ret@host/path", "http://host/path"),
        ("http://me:sec?ret@host/path", "http://host/path"),
        ("http://me:sec#ret@host/path", "http://host/path"),
        ("http://me:se%40cret@host", "http://host"),
        ("http://[::1]:5000/path", "http://[::1]:5000/path"),
        ("http://me:secret@[::1]:5000", "http://[::1]:5000"),
        ("https://host/#access_token=secret", "https://host/"),
        ("https://host?api_key=secret", "https://host"),
        ("mysql+pymysql://me:secret@host:3306/db?ssl_key=secret", "mysql+pymysql://host:3306/db"),
        ("me:secret@host:5000", "host:5000"),
        ("./mlruns", "./mlruns"),
    ],
)
def test_credentials_are_not_shown(uri: str, shown: str) -> None:
    assert public_uri(uri) == shown
    told = without_credentials(f"{uri}: no route to {uri}", uri)
    assert told == f"{shown}: no route to {shown}"


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        ("http://me:open%2Fsesame@host", "open%2Fsesame"),
        ("http://me:open%2Fsesame@host", "open/sesame"),
        ("http://me:open/sesame@host", "open/sesame"),
        ("postgresql://db/runs?user=me&password=sesame", "sesame"),
        ("postgresql://db/runs?sslpassword=open%20sesame", "open sesame"),
        ("https://host?token=sesame", "sesame"),
    ],
)
def test_what_an_error_says_of_a_password_is_not_shown(uri: str, secret: str) -> None:
    assert without_credentials(f"refused: '{secret}'", uri) == "refused: '***'"
    assert without_credentials("waited 30 s", f"{uri}&timeout=30") == "waited 30 s"


def test_a_database_among_the_searches_moves_with_them(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    inside, outside = f"sqlite:///{old}/mlflow.db", f"sqlite:///{tmp_path}/older/mlflow.db"
    noted = portable_uri(inside, old)
    assert str(tmp_path) not in noted
    assert local_uri(noted, new) == f"sqlite:///{new}/mlflow.db"
    for uri in (outside, "http://host:5000", "sqlite:///relative.db"):
        assert local_uri(portable_uri(uri, old), new) == uri


@pytest.mark.slow
def test_the_experiment_is_made_once_however_many_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    uri = resolve_tracking_uri(None, out)
    client = MlflowClient(tracking_uri=uri)
    client.search_experiments()  # makes the database
    with ThreadPoolExecutor(4) as pool:
        ids = set(pool.map(lambda _: get_or_create_experiment(client, uri, out), range(8)))
    assert len(ids) == 1
    experiment = client.get_experiment(ids.pop())
    assert experiment.artifact_location == (out / "mlartifacts").as_uri()
    assert {path.name for path in tmp_path.iterdir()} == {"out"}

    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(RecordsError, match="was deleted; bring it back with: mlflow experiments"):
        get_or_create_experiment(client, uri, out)


def test_losing_the_race_for_the_experiment_is_no_error(
    tmp_path: Path, make_store: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = make_store(tmp_path)
    client = MlflowClient(tracking_uri=uri)
    experiment_id = get_or_create_experiment(client, uri, tmp_path)
    look_up = client.get_experiment_by_name
    answers = iter([None, look_up("tunebox")])  # the other process made it in between
    monkeypatch.setattr(client, "get_experiment_by_name", lambda _: next(answers))
    assert get_or_create_experiment(client, uri, tmp_path) == experiment_id


def test_the_server_is_started_on_the_store(tmp_path: Path) -> None:
    command = ui_command(tmp_path, "127.0.0.1", 5001)
    assert command[1:4] == ["-m", "mlflow", "server"]
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options["--default-artifact-root"] == (tmp_path / "mlartifacts").as_uri()
    assert (options["--host"], options["--port"]) == ("127.0.0.1", "5001")


def test_the_address_names_the_view_of_the_fronts() -> None:
    page, _, query = ui_address("localhost", 5000, "1").partition("?")
    assert page == "http://localhost:5000/#/experiments/1/runs"
    assert parse_qs(query)["viewStateShareKey"] == ["tunebox-front"]


ODD_NAMES = ("a?b%2Fc d'\"$(x)", "100%", "é#1", "a@b", "x\ny", "?uri=true", "file:x")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_is_where_its_path_says(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    uri = resolve_tracking_uri(None, out)
    assert sqlite_file(uri) == out / "mlflow.db"
    assert sqlite_file(public_uri(uri)) == out / "mlflow.db"
    assert is_store(uri)
    assert uri.isprintable()
    out.mkdir()
    engine = create_engine(uri)  # as MLflow opens it
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE runs (id INTEGER)")
    engine.dispose()
    assert [path.name for path in out.iterdir()] == ["mlflow.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with closing(sqlite3.connect(out / "mlflow.db")) as opened:
        assert opened.execute("SELECT name FROM sqlite_master").fetchall() == [("runs",)]

    moved = tmp_path / "moved?%41"
    noted = portable_uri(public_uri(uri), out)
    assert str(tmp_path) not in noted
    assert sqlite_file(local_uri(noted, moved)) == moved / "mlflow.db"


def test_plain_paths_have_plain_uris(tmp_path: Path) -> None:
    assert (
        resolve_tracking_uri(None, tmp_path / "my out") == f"sqlite:///{tmp_path}/my out/mlflow.db"
    )
    assert sqlite_file("sqlite:///relative.db") == Path("relative.db")
    assert sqlite_file("postgresql://db/runs") is None
    assert sqlite_file("http://host/sqlite:///x") is None
