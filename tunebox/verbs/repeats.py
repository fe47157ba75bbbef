"""``search/repeats``: at its end a search trains its best trials again, with new seeds."""

from dataclasses import replace

from tunebox.decisions.events import MakeObserver
from tunebox.records.lock import locked
from tunebox.records.run_end import write_run_end
from tunebox.spec.confirm_settings import ConfirmSettings
from tunebox.spec.search_settings import SHARE_OF_SEARCH, SearchSettings
from tunebox.verbs.confirmation import (
    Confirmation,
    ConfirmResult,
    folder_of_retrainings,
    opened,
    rewrite_report,
    stopped_plan,
)
from tunebox.verbs.results import SearchResult
from tunebox.verbs.running import Callbacks


def has_repeats(result: SearchResult, search: SearchSettings) -> bool:
    """Return whether repeats follow a search whose trials have ended like this."""
    ended_by_itself = not result.interrupted and result.trouble is None
    return bool(search.repeats and ended_by_itself and result.log.front())


def with_repeats(
    result: SearchResult,
    search: SearchSettings,
    tracking_uri: str | None,
    callbacks: Callbacks,
    display: MakeObserver | None,
) -> SearchResult:
    """Train the best trials of a search again, if it asks for that and has ended by itself.

    It is a confirmation that leaves the test set alone. What one that was killed has trained is
    not trained again. Only after it does the folder of the search say that the search has ended:
    after a kill, a resume goes on with the repeats.

    Args:
        result: The search, whose trials have ended.
        search: Its settings.
        tracking_uri: As in `tunebox.search`.
        callbacks: Of the caller.
        display: As in `tunebox.search`.

    Returns:
        The result with what the repeats found, and how they ended.
    """
    if not has_repeats(result, search):
        return result
    with locked(result.folder.lock, callbacks.note):
        repeated = _repeated(result, search, tracking_uri, callbacks, display)
        write_run_end(result.folder.run_end, repeated)
    if repeated.confirmed is not None:
        rewrite_report(result.name, result.out, callbacks)
    return repeated


def _repeated(
    result: SearchResult,
    search: SearchSettings,
    tracking_uri: str | None,
    callbacks: Callbacks,
    display: MakeObserver | None,
) -> SearchResult:
    budget = _epochs(result, search)
    if budget < search.max_epochs:
        line = (
            f"repeats: {budget} epochs are left for them, fewer than the {search.max_epochs} of a "
            "training: no trial is trained again"
        )
        callbacks.note(line)
        return replace(result, warnings=[*result.warnings, line])
    where = {}
    if search.time_budget is not None:
        where["time_budget"] = search.time_budget * (1 - search.share_of_trials)
    folder = folder_of_retrainings(result.folder)
    settings = ConfirmSettings(seeds=search.repeats, budget=budget)
    go_on = "they were stopped and go on; " if stopped_plan(result.folder) else ""
    callbacks.note(
        f"repeats: {go_on}the best trials are trained again with up to {search.repeats} new "
        f"seeds, in at most {budget} epochs"
    )
    with opened(folder, result.name, callbacks) as before:
        run = Confirmation(result.folder, folder, before, settings, where, measures_test=False)
        again = run.run(tracking_uri, callbacks, display)
    return _joined(result, again)


def _joined(result: SearchResult, again: ConfirmResult) -> SearchResult:
    """Return the result of a search with what the repeats found, and how they ended."""
    ended = again.retrainings
    is_cut_short = ended.interrupted or ended.trouble is not None
    return replace(
        result,
        confirmed=again.confirmed,
        interrupted=ended.interrupted,
        trouble=ended.trouble,
        traceback=ended.traceback,
        is_complete=result.is_complete and not is_cut_short,
        ended=f"{result.ended}; repeats: {_how_it_ended(again)}",
        go_on="goes on with the repeats" if is_cut_short else result.go_on,
        warnings=[*result.warnings, *ended.warnings],
    )


def _how_it_ended(again: ConfirmResult) -> str:
    run = again.retrainings
    if run.interrupted or run.trouble is not None:
        return run.ended
    return f"{len(run.log.trials)} retrainings of {run.log.epochs_spent} epochs"


def _epochs(result: SearchResult, search: SearchSettings) -> int:
    """Return how many epochs the repeats may train in all."""
    spent = result.log.epochs_spent
    share = round(SHARE_OF_SEARCH * spent)
    return share if search.epochs is None else min(share, search.epochs - spent)
