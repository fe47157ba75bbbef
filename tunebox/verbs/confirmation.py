"""Trains trials of a search again with new seeds, as the trials of a search of their own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunebox.decisions.confirm import (
    MOST_SEEDS,
    Candidate,
    ConfirmMethod,
    choose_trials,
    finished_costs,
    has_test,
)
from tunebox.decisions.confirmed import Confirmed
from tunebox.decisions.events import Event, MakeObserver, Planned, Reported
from tunebox.decisions.trials import TrialLog, TrialState, why_no_front
from tunebox.errors import OptionError, RecordsError
from tunebox.parts.code import code_files, write_code
from tunebox.records.confirm_plan import ConfirmPlan, read_plan, write_plan
from tunebox.records.confirmed_table import ConfirmedWriter, read_confirmed
from tunebox.records.export import pick_trials
from tunebox.records.files import remove_unfinished, write_text
from tunebox.records.journal import Journal, cut_journal, make_journal, read_journal
from tunebox.records.lock import holder, locked
from tunebox.records.run_end import read_run_end, write_run_end
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.records.test_looks import add_look, describe_looks, read_looks
from tunebox.records.trial_tables import read_log
from tunebox.reports.methods import branch_path
from tunebox.spec.confirm_settings import RUN_OPTIONS, ConfirmSettings
from tunebox.spec.load import load_spec
from tunebox.spec.search_settings import SHARE_OF_SEARCH
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.seeded import seed_path, seeded_spec
from tunebox.spec.write import search_yaml
from tunebox.text import shell_command
from tunebox.tracking.sync import search_tracking_uri
from tunebox.verbs.executors import make_executor, prepared_executor
from tunebox.verbs.report import report
from tunebox.verbs.results import SearchResult
from tunebox.verbs.resume import replay_journal
from tunebox.verbs.running import Callbacks, RunningRecords

if TYPE_CHECKING:
    from tunebox.decisions.state import SearchState
    from tunebox.engine.nodes.preparation import NodeReport

_ENDING = "-confirm"  # of the name of the search whose trials are the retrainings


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


def folder_of_retrainings(searched: SearchFolder) -> SearchFolder:
    """Return the folder of the retrainings of a search."""
    return SearchFolder(searched.root.parent / f"{searched.name}{_ENDING}")


@contextmanager
def opened(folder: SearchFolder, name: str, callbacks: Callbacks) -> Iterator[ConfirmPlan]:
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


def unfinished(searched: SearchFolder) -> str | None:
    """Return how to go on with retrainings of a search that were stopped; None if none were."""
    if holder(searched.lock) is not None:  # they are running
        return None
    plan = stopped_plan(searched)
    return None if plan is None else _how_to_go_on(searched, plan.measures_test)


def stopped_plan(searched: SearchFolder) -> ConfirmPlan | None:
    """Return the plan of retrainings that have begun and not ended by themselves, else None."""
    folder = folder_of_retrainings(searched)
    end = read_run_end(folder.run_end)
    was_stopped = end is None or end.interrupted or end.trouble is not None
    return read_plan(folder) if was_stopped else None


def _how_to_go_on(searched: SearchFolder, is_confirmed: bool) -> str:
    verb = ["confirm"] if is_confirmed else ["search", "--resume"]
    return shell_command("tunebox", *verb, searched.name, *searched.out_option)


def rewrite_report(name: str, out: str | Path | None, callbacks: Callbacks) -> None:
    """Write the report of a search again, now with its retrainings, and note what prevents it."""
    try:
        report(name, out=out)
    except RecordsError as error:  # what the retrainings found is in its table
        callbacks.note(str(error))


class Confirmation:
    """One call of `tunebox.confirm`, or the repeats of a search; all locks are held."""

    def __init__(
        self,
        searched: SearchFolder,
        folder: SearchFolder,
        before: ConfirmPlan,
        settings: ConfirmSettings,
        given: Mapping[str, Any],
        *,
        measures_test: bool = True,
    ) -> None:
        """Choose what may be trained again.

        Args:
            searched: Folder of the search, which has ended.
            folder: Folder of the retrainings.
            before: Its plan so far.
            settings: What is trained again.
            given: Options of the call, of which those that say where the trials run are used.
            measures_test: Whether the test set is measured. Retrainings that a search made for
                its ``repeats``, without the test set, then count in addition to ``settings``.

        Raises:
            TuneboxError: There is nothing to train again, or a setting is wrong.
        """
        spec = load_spec(str(searched.search_file), code=searched.code)
        self._searched = searched
        self._folder = folder
        self._log = read_log(searched)
        self._settings = settings
        self._measures_test = measures_test
        self._options = settings.model_dump() if measures_test else before.options
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
        replay_journal(self._folder, state, journal)
        num_trials = state.num_left if _goes_on(state) else 0
        looks = describe_looks(self._searched.name, read_looks(self._searched))
        if looks is not None and self._measures_test:
            callbacks.note(looks)
        measured = max(self._log.memory, state.log.memory)
        with prepared_executor(self._spec, num_trials, callbacks.note, measured) as (spec, report):
            cut_journal(self._folder.journal, journal)
            remove_unfinished(self._folder.root)
            if num_trials and self._measures_test:
                add_look(self._searched, "confirm")
            result = self._train(spec, state, report, num_trials, tracking_uri, callbacks, display)
        found = read_confirmed(self._searched)
        if found is None:
            ended = result.trouble or result.ended
            again = _how_to_go_on(self._searched, self._measures_test)
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
        from tunebox.engine.drive import drive

        front = [trial.trial_id for trial in self._log.front()]
        plan = ConfirmPlan(self._searched.name, self._candidates)  # for the table
        where = self._searched if self._is_new else self._folder
        records = RunningRecords(
            spec,
            state,
            self._folder,
            search_tracking_uri(where, tracking_uri),
            callbacks,
            display,
            last=ConfirmedWriter(self._searched, plan, state.log, front, finished_costs(self._log)),
            num_trials=num_trials,
        )
        root = self._folder.root.absolute()
        outcome = drive(
            state,
            make_executor(spec, state, root, report),
            records.observers,
            max_failed_fraction=spec.search.max_failed_fraction,
            root=root,
        )
        result = records.result(outcome, report.notes)
        write_run_end(self._folder.run_end, result)
        return result

    def _seeded(self, spec: SearchSpec, where: Mapping[str, Any]) -> SearchSpec:
        """Return the search of the retrainings; how many there are is set later."""
        search = {
            **{"name": self._folder.name, "out": str(self._folder.root.parent)},
            **{"min_epochs": spec.search.max_epochs, "sampler": "qmc", "warm_start": []},
            **{"epochs": None, "time_budget": None, "stop_when": None, "repeats": 0, **where},
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
        name = self._searched.name
        plan = ConfirmPlan(name, self._candidates, self._options, self._measures_test)
        write_plan(folder, plan)
        journal = read_journal(folder.journal)
        num_planned = sum(isinstance(event, Planned) for event in journal.events)
        trials = min(len(self._candidates) * self._settings.seeds, self._budget // self._max_epochs)
        if self._measures_test:
            trials += sum(self._is_untested(event) for event in journal.events)
        search = self._spec.search.model_copy(update={"trials": max(trials, num_planned)})
        self._spec = replace(self._spec, search=search)
        write_text(folder.search_file, search_yaml(self._spec))
        return journal

    def _is_untested(self, event: Event) -> bool:
        """Return whether ``event`` is the end of a retraining that was not measured on test."""
        if not isinstance(event, Reported) or event.report.epoch < self._max_epochs:
            return False
        return not has_test(event.report.metrics)

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
            measures_test=self._measures_test,
        )
        from tunebox.decisions.state import SearchState  # which imports Optuna

        return SearchState(log, method, spec.search, spec.space)


def _goes_on(state: "SearchState") -> bool:
    """Return whether a retraining is unfinished, or another one is worth its epochs."""
    return state.num_left > state.num_unplanned or state.next_event() is not None
