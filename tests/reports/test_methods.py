from tests.records.make_log import make_trial
from tunebox.reports.methods import branch_path, method_of, short_names, without_branches


def test_a_method_is_a_branch_with_settings_of_its_own() -> None:
    plain, noisy = make_trial("a", 0.5, 0.5), make_trial("b", 0.5, 0.5)
    plain.settings = {"model/width": 16, "losses": "clean_only"}
    noisy.settings = {"model/width": 16, "losses": "noisy", "losses/noisy/noise/std": 0.5}
    assert branch_path([plain]) is None  # it could be any choice
    assert branch_path([plain, noisy]) == "losses"
    assert [method_of(trial, "losses") for trial in (plain, noisy)] == ["clean_only", "noisy"]
    assert {method_of(trial, None) for trial in (plain, noisy)} == {"trials"}
    assert without_branches(noisy.settings) == {
        "model/width": 16,
        "losses": "noisy",
        "noise/std": 0.5,
    }


def test_a_short_name_is_the_shortest_end_that_no_other_path_has() -> None:
    paths = ["a/noise/std", "b/noise/std", "noise/std", "optimizer/lr", "lr_decay", "width"]
    assert list(short_names(paths).values()) == [
        *("a/noise/std", "b/noise/std", "noise/std", "lr", "lr_decay", "width"),
    ]
