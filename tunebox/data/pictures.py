"""The images of a part in memory, or in a file where they are too many.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from tunebox.data.decode import decode
from tunebox.data.image_cache import is_cached, stored_images
from tunebox.data.image_set import ImageSet
from tunebox.data.stored_set import AnyImageSet, StoredSet

if TYPE_CHECKING:
    from tunebox.data.listing import Listing
    from tunebox.data.picture_settings import PictureSettings
    from tunebox.data.read_files import Progress
    from tunebox.data.settings import SplitPart


def open_pictures(
    settings: PictureSettings, part: SplitPart, progress: Progress | None = None
) -> AnyImageSet:
    """Return the images of a part, on the CPU; all but small sets stay in a file of the cache.

    Raises:
        DataError: As `decode` and `stored_images`.
    """
    listing = settings.listing(part)
    if not is_cached(settings, listing):
        return _in_memory(settings, part, listing)
    stored = stored_images(settings, part, listing, progress)
    facts = stored.facts
    chosen = facts.is_validation
    return StoredSet(
        stored,
        np.arange(len(stored)),
        torch.tensor(facts.labels, dtype=torch.int64),
        len(facts.classes),
        facts.classes,
        None if chosen is None else torch.tensor(chosen),
    )


def _in_memory(settings: PictureSettings, part: SplitPart, listing: Listing) -> ImageSet:
    rows: list[np.ndarray] = []
    facts = decode(settings, part, listing, rows.append, rows.clear)
    chosen = facts.is_validation
    return ImageSet(
        torch.from_numpy(np.stack(rows)),
        torch.tensor(facts.labels, dtype=torch.int64),
        num_classes=len(facts.classes),
        bits=facts.bits,
        class_names=facts.classes,
        found=facts.found,
        is_validation=None if chosen is None else torch.tensor(chosen),
    )
