"""``tunebox confirm``: train the front of a search and its near misses again, with new seeds."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from typing_extensions import Unpack

from tunebox.decisions.confirm import MOST_SEEDS, Candidate, ConfirmMethod, choose_trials
from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.events import Event, MakeObserver, Planned
from tunebox.decisions.trials import TrialLog, TrialState, why_no_front
from tunebox.errors import OptionError, RecordsError
from tunebox.parts.code import code_files, write_code
from tunebox.records.confirm_plan import ConfirmPlan, read_plan, write_plan
from tunebox.records.confirmed_table import ConfirmedWriter, read_confirmed
from tunebox.records.export import pick_trials
from tunebox.records.files import remove_unfinished, write_text
from tunebox.records.journal import Journal, cut_journal, make_journal, read_journal
from tunebox.records.lock import locked
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.test_looks import add_look, describe_looks, read_looks
from tunebox.records.trial_tables import read_log
from tunebox.reports.methods import branch_path
from tunebox.spec.confirm_settings import (
    RUN_OPTIONS,
    SHARE_OF_SEARCH,
    ConfirmOptions,
    ConfirmSettings,
    confirm_options,
)
from tunebox.spec.load import load_spec
from tunebox.spec.search_options import check_names
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.seeded import seed_path, seeded_spec
from tunebox.spec.write import search_yaml
from tunebox.text import shell_command
from tunebox.tracking.sync import search_tracking_uri
from tunebox.verbs.executors import prepared_executor
from tunebox.verbs.report import report
from tunebox.verbs.results import SearchResult, find_search
from tunebox.verbs.running import Callbacks, run_to_end

if TYPE_CHECKING:
    from tunebox.decisions.state import SearchState
    from tunebox.engine.nodes.preparation import NodeReport

ENDING = "-confirm"  # of the name of the search whose trials are the retrainings


@dataclass(frozen=True)
class ConfirmResult:
    """What a confirmation found.

    Attributes:
        confirmed: The trials with their intervals, the front of means, and how much too good the
            search's own numbers were.
        log: The trials of the search that is confirmed.
        retrainings: The retrainings as a search: its folder, trials, and how its run ended.
        table: The file with ``confirmed``.
    """

    confirmed: Confirmed
    log: TrialLog
    retrainings: SearchResult
    table: Path


def confirm(
    name: str,
    *,
    out: str | Path | None = None,
    tracking_uri: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    note: Callable[[str], None] | None = None,
    display: MakeObserver | None = None,
    **options: Unpack[ConfirmOptions],
) -> ConfirmResult:
    """Retrain the best trials of the search ``name`` with new seeds, and compare them.

    The retrainings are the trials of a search ``<name>-confirm``. Each is measured on the
    validation set like any trial, and at its end on the test set. The next trial to retrain and
    the front are chosen by the validation set alone. Call the function again to continue a
    confirmation that was killed, or with more ``seeds`` or ``budget`` to extend one that has ended.

    Args:
        name: Name of a search that has ended.
        out: Output folder of all searches.
        tracking_uri: Address of MLflow, as in `tunebox.search`.
        on_event: Called with every event of the retrainings, as in `tunebox.search`.
        note: Called with messages for the user.
        display: As in `tunebox.search`.
        options: `ConfirmSettings` (``seeds``, ``budget``, ``layers``, ``pick``), and those settings
            of the search that determine where trials run; None or absent: as in the last call.

    Raises:
        TuneboxError: A mistake that the user can correct; nothing has been trained.
    """
    check_names(options, [option.name for option in confirm_options()], "a confirmation")
    given = {key: value for key, value in options.items() if value not in (None, [])}
    callbacks = Callbacks(on_event, note)
    searched = find_search(name, out)
    if read_plan(searched) is not None:
        raise RecordsError(f"{name} is a confirmation itself; confirm the search that it repeats")
    folder = SearchFolder(searched.root.parent / f"{name}{ENDING}")
    with locked(searched.lock, callbacks.note), _opened(folder, name, callbacks) as before:
        settings = _settings(given, before.options)
        log = read_log(searched)
        spec = load_spec(str(searched.search_file), code=searched.code)
        run = _Confirmation(searched, folder, log, spec, settings, given)
        result = run.run(tracking_uri, callbacks, display)
    try:
        report(name, out=out)
    except RecordsError as error:  # what is confirmed is in its table
        callbacks.note(str(error))
    return result


@contextmanager
def _opened(folder: SearchFolder, name: str, callbacks: Callbacks) -> Iterator[ConfirmPlan]:
    """Hold the lock of the confirmation's folder, made when absent; yield its plan."""
    plan = read_plan(folder)
    if plan is None:
        if (folder.root / "search.yaml").exists():
            raise RecordsError(
                f"{folder.root} is in the way: it is a search, and no confirmation; rename it"
            )
        plan = ConfirmPlan(name)
        write_plan(create_folder(folder.root.parent, folder.name), plan)
    with locked(folder.lock, callbacks.note):
        yield plan


def _settings(given: Mapping[str, Any], before: Mapping[str, Any]) -> ConfirmSettings:
    own = {key: value for key, value in given.items() if key in ConfirmSettings.model_fields}
    try:
        return ConfirmSettings.model_validate({**before, **own})
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0])
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise OptionError(where, f": got {first['input']!r}; {message}") from error


class _Confirmation:
    """One call of `confirm`, with all locks held."""

    def __init__(
        self,
        searched: SearchFolder,
        folder: SearchFolder,
        log: TrialLog,
        spec: SearchSpec,
        settings: ConfirmSettings,
        given: Mapping[str, Any],
    ) -> None:
        self._searched = searched
        self._folder = folder
        self._log = log
        self._settings = settings
        self._is_new = not folder.search_file.is_file()
        where = {key: value for key, value in given.items() if key in RUN_OPTIONS}
        self._spec = self._seeded(spec, where)
        self._candidates = self._choose()
        self._budget = self._most_epochs(spec)

    def run(
        self, tracking_uri: str | None, callbacks: Callbacks, display: MakeObserver | None
    ) -> ConfirmResult:
        """Train what is to be trained, and return what all retrainings say."""
        journal = self._prepare()
        state = self._state()
        state.replay_events(journal.events)
        num_trials = state.num_left if _goes_on(state) else 0
        looks = describe_looks(self._searched.name, read_looks(self._searched))
        if looks is not None:
            callbacks.note(looks)
        measured = max(self._log.memory, state.log.memory)
        with prepared_executor(self._spec, num_trials, callbacks.note, measured) as (spec, report):
            cut_journal(self._folder.journal, journal)
            remove_unfinished(self._folder.root)
            if num_trials:
                add_look(self._searched, "confirm")
            result = self._train(spec, state, report, num_trials, tracking_uri, callbacks, display)
        found = read_confirmed(self._searched)
        if found is None:
            ended = result.trouble or result.ended
            again = shell_command(
                "tunebox", "confirm", self._searched.name, *self._searched.out_option
            )
            raise RecordsError(
                f"no retraining of {self._searched.name} has ended ({ended}); go on with: {again}"
            )
        return ConfirmResult(found, self._log, result, self._searched.confirmed)

    def _train(
        self,
        spec: SearchSpec,
        state: "SearchState",
        report: "NodeReport",
        num_trials: int,
        tracking_uri: str | None,
        callbacks: Callbacks,
        display: MakeObserver | None,
    ) -> SearchResult:
        front = [trial.trial_id for trial in self._log.front()]
        plan = ConfirmPlan(self._searched.name, self._candidates)
        where = self._searched if self._is_new else self._folder
        return run_to_end(
            spec,
            state,
            report,
            self._folder,
            search_tracking_uri(where, tracking_uri),
            callbacks,
            display,
            last=ConfirmedWriter(self._searched, plan, state.log, front),
            num_trials=num_trials,
        )

    def _seeded(self, spec: SearchSpec, where: Mapping[str, Any]) -> SearchSpec:
        """Return the search of the retrainings; how many there are is set later."""
        search = {
            **{"name": self._folder.name, "out": str(self._folder.root.parent)},
            **{"min_epochs": spec.search.max_epochs, "sampler": "qmc", "warm_start": []},
            **{"epochs": None, "time_budget": None, "stop_when": None, **where},
        }
        question = f"Which trials of {self._searched.name} hold with other seeds?"
        return seeded_spec(spec, num_seeds=MOST_SEEDS, question=question, search=search)

    def _choose(self) -> list[Candidate]:
        log = self._log
        if self._settings.pick:
            picked = [t for pick in self._settings.pick for t in pick_trials(log, pick)]
            chosen = [(t, True) for t in {t.trial_id: t for t in picked}.values()]
        else:
            chosen = choose_trials(log, self._settings.layers, branch_path(log.trials.values()))
        if not chosen:
            raise RecordsError(f"{self._searched.name} has nothing to confirm: {why_no_front(log)}")
        return [
            Candidate(
                trial.trial_id,
                trial.settings,
                seed_path(self._spec.space, trial.settings),
                trial.last_metrics if trial.state is TrialState.FINISHED else {},
                is_sure,
            )
            for trial, is_sure in chosen
        ]

    def _most_epochs(self, spec: SearchSpec) -> int:
        """Return the budget; by default it is enough for intervals of the trials that are sure."""
        one = spec.search.max_epochs
        budget = self._settings.budget
        if budget is None:
            num_sure = sum(candidate.is_sure for candidate in self._candidates)
            return max(round(SHARE_OF_SEARCH * self._log.epochs_spent), 2 * num_sure * one)
        if budget < one:
            raise OptionError("budget", f" {budget}: a retraining has {one} epochs; give more")
        return budget

    def _prepare(self) -> Journal:
        """Make the files from which a confirmation goes on, and return its journal."""
        folder = self._folder
        if self._is_new:
            if not folder.journal.exists():
                make_journal(folder.journal, folder.name)
            write_code(code_files(self._spec.code, self._spec.references), folder.code)
        self._spec = replace(self._spec, code=replace(self._spec.code, copies=folder.code))
        options = self._settings.model_dump()
        write_plan(folder, ConfirmPlan(self._searched.name, self._candidates, options))
        journal = read_journal(folder.journal)
        num_planned = sum(isinstance(event, Planned) for event in journal.events)
        trials = min(len(self._candidates) * self._settings.seeds, self._budget // self._max_epochs)
        search = self._spec.search.model_copy(update={"trials": max(trials, num_planned)})
        self._spec = replace(self._spec, search=search)
        write_text(folder.search_file, search_yaml(self._spec))
        return journal

    @property
    def _max_epochs(self) -> int:
        return self._spec.search.max_epochs

    def _state(self) -> "SearchState":
        spec = self._spec
        log = TrialLog(spec.objective_set, spec.constraint_set)
        method = ConfirmMethod(
            self._candidates,
            log,
            most_seeds=self._settings.seeds,
            max_epochs=self._max_epochs,
            seed=spec.search.seed,
        )
        from tunebox.decisions.state import SearchState  # which imports Optuna

        return SearchState(log, method, spec.search, spec.space)


def _goes_on(state: "SearchState") -> bool:
    """Return whether a retraining is unfinished, or another one is worth its epochs."""
    return state.num_left > state.num_unplanned or state.next_event() is not None
