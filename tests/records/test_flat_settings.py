from tunebox.records.flat_settings import flat_settings


def test_settings_are_flat_by_path() -> None:
    tree = {"model": {"kind": "mlp", "width": 64}, "steps": [{"std": 0.1}, 2], "seed": None}
    assert flat_settings(tree) == {
        "model/kind": "mlp",
        "model/width": 64,
        "steps/0/std": 0.1,
        "steps/1": 2,
        "seed": None,
    }
