"""Where the images of a trial are while it trains: on the device, or in a file."""

from __future__ import annotations

import torch

from tunebox.data.parts import OpenedParts, TrainingParts

# On a CPU a file that the system keeps in its memory is read as fast as memory is copied, and all
# workers of a node share it: only what hardly counts is held by each of them.
SMALL_BYTES = 256 * 2**20
_GPU_SHARE = 0.25  # of a GPU's memory, for images: several trials may be on it


def in_memory_if_small(parts: OpenedParts) -> OpenedParts:
    """Return the parts, read from their files if they are small; on the CPU."""
    if not 0 < parts.num_bytes <= SMALL_BYTES:
        return parts
    loaded = parts.resident()
    return OpenedParts(loaded.train, loaded.validation)


def on_device(parts: TrainingParts | OpenedParts, device: torch.device) -> OpenedParts:
    """Return the parts on the device: in its memory if they fit, else read batch by batch."""
    moved = OpenedParts(parts.train, parts.validation).to(device)
    if moved.num_bytes == 0:
        return moved
    if device.type == "cuda":
        room = int(_GPU_SHARE * torch.cuda.get_device_properties(device).total_memory)
        if moved.num_bytes <= room:
            loaded = moved.resident()
            return OpenedParts(loaded.train, loaded.validation)
    return in_memory_if_small(moved)
