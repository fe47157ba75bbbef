"""The random numbers of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class EpochDraws:
    """The generators of one epoch, seeded from the run's seed and the epoch's number.

    Nothing of them needs to be saved: a run that resumes at an epoch draws what the uninterrupted
    run would have drawn. The noisy view has a generator of its own, so that the clean view is the
    same whatever noise a trial trains with.

    Attributes:
        clean: For the order of the images and the augmentation of the clean view.
        noisy: For the noise, and the augmentation of a noisy view that has its own.
        terms: For what loss terms draw.
        layers: Seed of what layers of the model draw, such as dropout.
    """

    clean: torch.Generator
    noisy: torch.Generator
    terms: torch.Generator
    layers: int

    @classmethod
    def of_epoch(cls, seed: int, epoch: int, device: torch.device) -> EpochDraws:
        """Return the generators of ``epoch`` on ``device``."""
        # SeedSequence keeps neighbouring seeds and epochs from giving related numbers.
        seeds = np.random.SeedSequence([seed, epoch]).generate_state(4)
        clean, noisy, terms = (
            torch.Generator(device).manual_seed(int(number)) for number in seeds[:3]
        )
        return cls(clean, noisy, terms, int(seeds[3]))

    @contextmanager
    def for_layers(self) -> Iterator[None]:
        """Seed torch's global generators, the only ones of layers, and put them back at the end."""
        device = self.clean.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(self.layers)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(self.layers)
            yield
