"""Record learning curves: train sampled settings to full length and keep every epoch.

    python benchmarks/record_curves.py digits --settings 500 --to benchmarks/curves/digits

Settings are drawn at random from the search file and trained for its ``max_epochs`` without early
stopping. What comes out is the folder of a search in which no trial was stopped (``search.yaml``,
``trials.parquet``, ``history.parquet``), so that whatever reads a search reads a recording. A
recording that was broken off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import random
import time
from pathlib import Path

import torch

from tunebox.data.parts import TrainingParts, load_training_parts
from tunebox.data.settings import DataSettings
from tunebox.decisions.trials import Report, TrialLog, TrialRecord, TrialState, non_finite_metric
from tunebox.records.search_folder import SearchFolder
from tunebox.records.trial_tables import read_log, write_tables
from tunebox.spec.load import load_spec
from tunebox.spec.sample import sample_values
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.space import Values
from tunebox.spec.write import search_yaml
from tunebox.training.trial_run import TrialRun

SECONDS_BETWEEN_WRITES = 60.0


def main() -> None:
    arguments = parse_arguments()
    spec = load_spec(arguments.file)
    folder = SearchFolder(arguments.to)
    log = read_log(folder) if folder.trials.exists() else TrialLog(spec.objective_set)
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.search_file.write_text(search_yaml(spec), encoding="utf-8")
    generator = random.Random(arguments.seed)
    settings = {f"{n:04d}": sample_values(spec.space, generator) for n in range(arguments.settings)}
    missing = [
        (trial_id, settings[trial_id]) for trial_id in settings if trial_id not in log.trials
    ]
    written = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(arguments.workers) as pool:
        work = functools.partial(record, arguments.file)
        for done, trial in enumerate(pool.imap_unordered(work, missing), start=1):
            log.trials[trial.trial_id] = trial
            if time.monotonic() - written > SECONDS_BETWEEN_WRITES or done == len(missing):
                log.trials = dict(sorted(log.trials.items()))
                write_tables(folder, log, spec.space.leaves)
                written = time.monotonic()
                print(f"{len(log.trials)} of {len(settings)} settings", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", help="a search file or the name of a shipped one")
    parser.add_argument("--settings", type=int, default=500)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--to", type=Path, required=True)
    return parser.parse_args()


def record(file: str, job: tuple[str, Values]) -> TrialRecord:
    """Train one setting to full length, or until it diverges."""
    torch.set_num_threads(1)
    trial_id, values = job
    spec = _spec(file)
    config = spec.trial_config(values)
    run = TrialRun(
        config,
        seed=spec.search.seed,
        max_epochs=spec.search.max_epochs,
        device="cpu",
        parts=_parts(config.data),
    )
    trial = TrialRecord(trial_id, values, start_time=time.time(), state=TrialState.FINISHED)
    while run.epoch < run.max_epochs:
        metrics = run.run_epoch()
        trial.history.append(Report(run.epoch, metrics, time.time()))
        culprit = non_finite_metric(metrics)
        if culprit is not None:
            trial.state, trial.reason = TrialState.DIVERGED, f"{culprit} was {metrics[culprit]}"
            break
    trial.end_time = time.time()
    return trial


@functools.lru_cache(maxsize=1)
def _spec(file: str) -> SearchSpec:
    return load_spec(file)


@functools.lru_cache(maxsize=1)
def _parts(settings: DataSettings) -> TrainingParts:
    return load_training_parts(settings)


if __name__ == "__main__":
    main()
