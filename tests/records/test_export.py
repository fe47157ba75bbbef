import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.records.make_log import CLEAN, LOSS, NOISY, OBJECTIVES, make_log, make_spec, make_trial
from tests.records.make_model import write_checkpoint
from tunebox.decisions.trials import TrialLog
from tunebox.errors import RecordsError
from tunebox.pareto.objectives import Objectives
from tunebox.records.export import export_trials, pick_trials
from tunebox.records.files import write_text
from tunebox.records.model_folder import load_model
from tunebox.records.search_folder import SearchFolder, create_folder
from tunebox.spec.load import load_spec
from tunebox.spec.write import search_yaml

POINTS = {"d": (0.5, 0.5), "c": (0.6, 0.9), "a": (0.9, 0.3), "b": (0.85, 0.8), "e": (0.1, 0.1)}


@pytest.fixture
def log() -> TrialLog:
    log = TrialLog(OBJECTIVES)
    for number, (trial_id, (clean, noisy)) in enumerate(POINTS.items()):
        log.trials[trial_id] = make_trial(trial_id, clean, noisy)
        metrics = log.trials[trial_id].history[-1].metrics
        metrics |= {
            "train_loss": 1.0 + number,
            "train_seconds": 9.0 - number,
            "images_per_second": number,
        }
    return log


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    folder = create_folder(tmp_path / "out", "made-1")
    write_text(folder.search_file, search_yaml(make_spec()))
    return folder


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        ("all", ["a", "b", "c"]),
        ("knee", ["b"]),
        ("best:clean_accuracy", ["a"]),
        ("best:noisy_accuracy", ["c"]),
        ("best:train_loss", ["c"]),
        ("best:train_seconds", ["b"]),
        ("best:images_per_second", ["b"]),
        ("compromise:clean_accuracy>=0.6", ["c"]),
        ("compromise:clean_accuracy >= 0.7", ["b"]),
        ("compromise:clean_accuracy>=0.86", ["a"]),
        ("compromise:noisy_accuracy>=.5", ["b"]),
        ("compromise:train_loss>=3", ["b"]),  # of all objectives: 0.83 + 0.83 of their ranges
        ("compromise:train_loss<=2e0", ["c"]),
        ("e", ["e"]),
    ],
)
def test_what_a_pick_means(log: TrialLog, pick: str, expected: list[str]) -> None:
    assert [trial.trial_id for trial in pick_trials(log, pick)] == expected


def test_a_compromise_of_three_objectives_is_best_in_the_sum_of_the_others() -> None:
    log = TrialLog(Objectives([CLEAN, NOISY, LOSS]))
    # noisy accuracies from 0.2 to 0.6, losses from 0 to 10
    for trial_id, *point in [
        ("a", 0.9, 0.2, 0.0),
        ("b", 0.8, 0.5, 4.0),  # 0.25 of the range from the best noisy accuracy, 0.4 of the loss
        ("c", 0.8, 0.3, 1.0),  # 0.75 and 0.1
        ("d", 0.3, 0.6, 10.0),
        ("e", 0.2, 0.6, 0.0),  # best, but not within the bound
    ]:
        trial = log.trials[trial_id] = make_trial(trial_id, point[0], point[1])
        trial.last_metrics["train_loss"] = point[2]
    assert len(log.front()) == 5
    assert [t.trial_id for t in pick_trials(log, "compromise:clean_accuracy>=0.8")] == ["b"]


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("clean_accuracy>0.9", "cannot read the bound"),
        ("clean_accuracy>=much", "cannot read the bound"),
        ("speed>=1", "no trial on the front reports 'speed'"),
        (
            "clean_accuracy>=95",
            "no trial on the front keeps clean_accuracy>=95: it has 0.6 to 0.9$",
        ),
    ],
)
def test_a_bound_that_nothing_keeps_is_an_error(log: TrialLog, bound: str, message: str) -> None:
    with pytest.raises(RecordsError, match=message):
        pick_trials(log, f"compromise:{bound}")


def test_an_objective_says_which_way_is_best(log: TrialLog) -> None:
    log.objectives = Objectives([CLEAN, LOSS])
    assert [t.trial_id for t in pick_trials(log, "best:train_loss")] == ["d"]


@pytest.mark.parametrize("pick", ["clean_ece", "parameters"])
def test_the_metric_says_which_way_is_best(log: TrialLog, pick: str) -> None:
    for number, trial in enumerate(log.trials.values()):
        trial.last_metrics["clean_ece"] = 0.1 + number
        trial.last_metrics["parameters"] = 100.0 - number
        trial.last_metrics["learning_rate"] = 0.1
    front = log.front()
    lowest = min(front, key=lambda trial: trial.last_metrics[pick])
    assert pick_trials(log, f"best:{pick}") == [lowest]
    with pytest.raises(RecordsError, match="'learning_rate' has no best value"):
        pick_trials(log, "best:learning_rate")


@pytest.mark.parametrize("pick", ["best", "best:nothing", "kneee", "", "zz"])
def test_an_unknown_pick_says_what_can_be_picked(log: TrialLog, pick: str) -> None:
    with pytest.raises(RecordsError, match=r"all, knee, best:clean_accuracy, .* front: a, b"):
        pick_trials(log, pick)


@pytest.mark.parametrize("pick", ["all", "knee", "best:clean_accuracy"])
def test_an_empty_front_is_an_error(pick: str) -> None:
    with pytest.raises(RecordsError, match="front is empty"):
        pick_trials(TrialLog(OBJECTIVES), pick)


def test_exported_trials_are_models_and_trials(folder: SearchFolder, tmp_path: Path) -> None:
    log = make_log(30)
    picks = log.front()
    assert len(picks) > 1
    models = {
        trial.trial_id: write_checkpoint(folder, trial, seed) for seed, trial in enumerate(picks)
    }
    to = tmp_path / "exported"
    written = export_trials(folder, picks, to, format=None).folders
    assert written == [to / trial.trial_id for trial in picks]
    assert sorted(to.iterdir()) == sorted(written)
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    for trial, target in zip(picks, written, strict=True):
        assert torch.equal(load_model(target)(images), models[trial.trial_id](images))
        spec = load_spec(str(target / "trial.yaml"))
        assert spec.space.leaves == ()
        expected = make_spec().trial_config(trial.settings)
        assert spec.trial_config({}).losses == expected.losses
        assert spec.trial_config({}).optimizer == expected.optimizer


def test_nothing_is_written_where_there_is_something(folder: SearchFolder, tmp_path: Path) -> None:
    picks = make_log(30).front()
    to = tmp_path / "exported"
    for trial in picks:
        write_checkpoint(folder, trial)
    (to / picks[-1].trial_id).mkdir(parents=True)
    with pytest.raises(RecordsError, match=f"{picks[-1].trial_id} exists already"):
        export_trials(folder, picks, to, format=None)
    assert [path.name for path in to.iterdir()] == [picks[-1].trial_id]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        tensor = max(map(archive.read, archive.namelist()), key=len)
    content = bytearray(path.read_bytes())
    content[content.index(tensor)] ^= 1
    path.write_bytes(content)


def lead_out(path: Path) -> None:
    outside = path.parents[3] / "outside.pt"
    path.rename(outside)
    path.symlink_to(outside)


def write_another(path: Path) -> None:
    torch.save({"format": 1}, path)


@pytest.mark.parametrize(
    ("ruin", "reason"),
    [
        (Path.unlink, "its checkpoint is gone"),
        (cut_short, "cannot be read: "),
        (flip_a_bit, "cannot be read: the checksum of"),
        (write_another, "is not a checkpoint of tunebox"),
        (lead_out, "is not in"),
    ],
)
def test_one_damaged_checkpoint_does_not_keep_the_others_back(
    folder: SearchFolder, tmp_path: Path, ruin: Callable[[Path], None], reason: str
) -> None:
    picks = make_log(30).front()
    for trial in picks:
        write_checkpoint(folder, trial)
    victim = picks[1]
    assert victim.checkpoint is not None
    ruin(folder.root / victim.checkpoint)
    exported = export_trials(folder, picks, tmp_path / "exported", format=None)
    assert [path.name for path in exported.folders] == [trial.trial_id for trial in picks]
    with_weights = [path.name for path in exported.folders if (path / "model.safetensors").exists()]
    assert with_weights == [trial.trial_id for trial in picks if trial is not victim]
    [problem] = exported.problems
    assert problem.startswith(f"trial {victim.trial_id} is exported without its weights: ")
    assert victim.checkpoint in problem
    assert reason in problem
    assert "\n" not in problem


def test_a_trial_whose_weights_were_not_kept_is_a_trial_file_and_a_card(
    folder: SearchFolder, tmp_path: Path
) -> None:
    trial = make_log(30).front()[0]
    trial.checkpoint = None
    [target] = export_trials(folder, [trial], tmp_path / "exported", format=None).folders
    assert {path.name for path in target.iterdir()} == {"trial.yaml", "README.md", "model.json"}
    assert load_spec(str(target / "trial.yaml")).space.leaves == ()
    card = (target / "README.md").read_text(encoding="utf-8")
    assert "`tunebox train trial.yaml` makes them" in card
    assert "load_model" not in card
    with pytest.raises(
        RecordsError, match=r"has no model\.safetensors; .* tunebox train .*trial\.yaml"
    ):
        load_model(target)
