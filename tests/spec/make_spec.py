"""A search file with a distribution of every kind, and ways to change a part of it."""

from tunebox.spec.load import spec_from_source
from tunebox.spec.search_spec import SearchSpec
from tunebox.spec.yaml_source import parse_yaml

SEARCH_FILE = """\
# Which method is best?
data: {kind: digits}
model: {kind: mlp, width: {choice: [8, 16]}, depth: {int_uniform: [1, 3]}, feature_dim: 4}
losses:
  choice:
    clean_only:
      cross_entropy: {on: clean}
    noisy:
      cross_entropy: {on: both, weight: {uniform: [0.5, 2]}}
      noise:
        choice:
          gaussian: {kind: gaussian, std: {uniform: [0.1, 1.2]}, clamp: {choice: [true, false]}}
          mask: {kind: patch_mask, size: {log_int_uniform: [1, 4]}, count: 1}
    ours:
      cross_entropy: {on: clean}
      discriminative:
        weight: {log_uniform: [0.05, 5]}
        delta_v: {uniform: [0, 1]}
        delta_d: {uniform: [1.5, 10]}
      noise: {kind: gaussian, std: 0.3}
optimizer: {kind: sgd, lr: {log_uniform: [1e-3, 0.2]}}
training: {seed: {choice: [null, 7]}}
evaluation: {noise: {kind: gaussian, std: 0.8}, num_draws: 2}
search: {trials: 20, min_epochs: 1, max_epochs: 9, reduction_factor: 3, seed: 3}
"""

FIXED_FILE = """\
data: {kind: digits}
model: {kind: mlp}
losses: {cross_entropy: {on: clean}}
optimizer: {kind: sgd, lr: 0.1}
evaluation: {noise: {kind: gaussian, std: 0.8}}
"""


def spec_of(text: str = SEARCH_FILE, name: str = "made.yaml") -> SearchSpec:
    return spec_from_source(parse_yaml(text, name))


def changed(old: str, new: str, text: str = SEARCH_FILE) -> str:
    """``text`` with the one ``old`` in it replaced."""
    assert text.count(old) == 1, old
    return text.replace(old, new)
