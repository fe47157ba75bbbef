"""The command ``search``, with an option for each setting of a search."""

from functools import partial
from typing import Annotated, Any

import typer

from tunebox.cli.cluster import Cluster, without_result
from tunebox.cli.common import TrackingUri, end_search, progress_on, wants_stop
from tunebox.cli.options import with_options
from tunebox.cli.terminal import make_console, printer
from tunebox.errors import TuneboxError
from tunebox.spec.search_options import search_options

_File = Annotated[
    str | None,
    typer.Argument(
        help="A search file, the name of a shipped one, or - for standard input. [default: digits]",
        show_default=False,
    ),
]
_Resume = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Continue this search instead; a larger --trials extends it."
    ),
]


def search(
    file: _File = None,
    resume: _Resume = None,
    *,
    tracking_uri: TrackingUri = None,
    cluster: Cluster = None,
    **options: Any,
) -> None:
    """Run the search in FILE; its results are in <out>/<name> and in MLflow.

    Options override the settings in FILE, which override the defaults. --resume NAME continues
    a search that was stopped or killed.

    Example: tunebox search fashion_mnist --trials 100 --time-budget 3600
    """
    if resume is not None and options["name"] is not None:
        raise TuneboxError("--resume names the search already; leave out --name")
    options["name"] = resume or options["name"]
    given = {key: value for key, value in options.items() if value not in (None, [])}
    console = make_console()
    if cluster is None:
        from tunebox.verbs.search import search as search_here

        result = search_here(
            file,
            resume=resume is not None,
            tracking_uri=tracking_uri,
            note=printer(console),
            display=progress_on(console),
            **given,
        )
    else:
        from tunebox.verbs.cluster_search import search_on_cluster

        with without_result():
            result = search_on_cluster(
                cluster,
                file,
                resume=resume is not None,
                tracking_uri=tracking_uri,
                note=printer(console),
                display=progress_on(console),
                wants_stop=partial(wants_stop, console),
                **given,
            )
    end_search(console, result, tracking_uri, cluster)


search.__signature__ = with_options(search, search_options(), 2)  # type: ignore[attr-defined]
