"""Whether predictions tell which images a model was trained on.

[Yeom2018] S. Yeom et al. Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting.
    CSF 2018. The threshold on the loss.
[Song2021] L. Song and P. Mittal. Systematic Evaluation of Privacy Risks of Machine Learning Models.
    USENIX Security 2021. The thresholds on confidence, entropy and modified entropy.
[Forough2026] J. Forough et al. Dynamic Probabilistic Noise Injection for Membership Inference
    Defense. PoPETs 2026. DynaNoise and the score MIDPUT.

Shapes: B images, K classes.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from tunebox.data.stored_set import AnyImageSet
from tunebox.models.base import Classifier
from tunebox.training.dyna_noise import DynaNoise
from tunebox.training.evaluate import batches_of
from tunebox.training.precision import evaluation_mode, full_float32

_BATCH_SIZE = 512
_SMALLEST = 1e-20  # a probability below it counts as this


@dataclass(frozen=True)
class Answers:
    """What a model answers about images.

    Attributes:
        probabilities: ``(B, K)``, float64.
        labels: ``(B,)``.
    """

    probabilities: Tensor
    labels: Tensor

    @property
    def accuracy(self) -> float:
        """Share of correct predictions."""
        return (self.probabilities.argmax(dim=1) == self.labels).double().mean().item()


def membership_numbers(
    model: Classifier, members: AnyImageSet, others: AnyImageSet, seed: int
) -> dict[str, float]:
    """Return how well membership is guessed from the model's answers, and from those of DynaNoise.

    The keys ``membership/<attack>`` are the shares of correct guesses, of as many members as
    others: 0.5 is chance. ``membership/dyna_noise/..`` has the same with DynaNoise, the
    ``accuracy`` of its answers about ``others``, and ``midput``: the mean fall of the attacks'
    accuracies minus the fall of the model's accuracy [Forough2026].

    Args:
        model: On the device of the images.
        members: Images that the model was trained on, and their labels.
        others: Images like them that it was not trained on.
        seed: Random seed of the noise.
    """
    count = min(len(members), len(others))
    logits = [_logits(model, images, count) for images in (members, others)]
    plain = [Answers(z.softmax(dim=1), labels) for z, labels in logits]
    generator = torch.Generator().manual_seed(seed)
    noisy = [Answers(DynaNoise().probabilities(z, generator), labels) for z, labels in logits]
    before, after = attack_accuracies(*plain), attack_accuracies(*noisy)
    midput = midput_score(before, after, plain[1].accuracy, noisy[1].accuracy)
    return {
        **{f"membership/{name}": value for name, value in before.items()},
        "membership/images": 2.0 * count,
        **{f"membership/dyna_noise/{name}": value for name, value in after.items()},
        "membership/dyna_noise/accuracy": noisy[1].accuracy,
        "membership/dyna_noise/midput": midput,
    }


def midput_score(
    before: dict[str, float], after: dict[str, float], accuracy: float, accuracy_after: float
) -> float:
    """Return the mean fall of the attacks' accuracies minus the fall of the model's [Forough2026].

    Args:
        before: Accuracy of each attack without the defence.
        after: Accuracy of the same attacks with it.
        accuracy: Of the model.
        accuracy_after: Of the model with the defence.
    """
    falls = [before[name] - after[name] for name in before]
    return statistics.mean(falls) - (accuracy - accuracy_after)


def attack_accuracies(members: Answers, others: Answers) -> dict[str, float]:
    """Return the share of correct guesses of each attack, on as many members as others.

    An image counts as a member if its score is at least a threshold. Every second image of both
    groups chooses the threshold, the rest is guessed: the attacker knows half of both groups.

    Args:
        members: About images of the training.
        others: About as many other images.
    """
    found = {}
    own, other = scores_of(members), scores_of(others)
    for name in own:
        threshold = best_threshold(own[name][::2], other[name][::2])
        guesses = own[name][1::2] >= threshold, other[name][1::2] < threshold
        found[name] = statistics.mean(right.double().mean().item() for right in guesses)
    return found


def scores_of(answers: Answers) -> dict[str, Tensor]:
    """Return scores of each image, ``(B,)``, that tend to be higher for images of the training.

    ``confidence`` is the largest probability and ``loss`` the negative cross-entropy [Yeom2018];
    ``entropy`` and ``modified_entropy`` are negative, the second is
    ``-(1 - p_y) log p_y - sum_k p_k log(1 - p_k)`` over other classes k [Song2021].
    """
    p = answers.probabilities
    log_p, log_rest = (v.clamp_min(_SMALLEST).log() for v in (p, 1 - p))
    own = answers.labels.unsqueeze(1)
    of_others = (p * log_rest).scatter(1, own, 0.0).sum(dim=1)
    own_log_p = log_p.gather(1, own).squeeze(1)
    return {
        "confidence": p.amax(dim=1),
        "loss": own_log_p,
        "entropy": (p * log_p).sum(dim=1),
        "modified_entropy": (1 - p.gather(1, own).squeeze(1)) * own_log_p + of_others,
    }


def best_threshold(members: Tensor, others: Tensor) -> float:
    """Return the score from which on calling an image a member is right most often.

    Args:
        members: Scores of members, ``(N,)``.
        others: Scores of other images, ``(M,)``; the groups count alike.
    """
    candidates = torch.cat([members, others])
    shares = [
        (len(scores) - torch.searchsorted(scores.sort().values, candidates)) / len(scores)
        for scores in (members, others)
    ]
    gains = shares[0] - shares[1]  # of true members over false ones, >= the candidate
    best = int(gains.argmax())
    return candidates[best].item() if gains[best] > 0 else math.inf


def _logits(model: Classifier, images: AnyImageSet, count: int) -> tuple[Tensor, Tensor]:
    """Return logits in float64 and labels of ``count`` images, on the CPU."""
    with torch.inference_mode(), evaluation_mode(model), full_float32(model.mean.device):
        found = [
            (model(batch).double().cpu(), labels.cpu())
            for batch, labels in batches_of(images, count, _BATCH_SIZE)
        ]
    return torch.cat([z for z, _ in found]), torch.cat([labels for _, labels in found])
