"""How many images a model evaluates at once, by the memory of the machine."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tunebox.data.read_files import num_cores
from tunebox.models.size import machine_memory

_PROBED = 2  # images: some networks of users do not take one alone
_MARGIN = 2  # times the largest operation: shortcuts and work space of convolutions come on top
_CPU_SHARE = 1 / 4  # of what falls to a trial with its threads
_GPU_SHARE = 1 / 8  # several trials may be on it

_bytes_of_models: WeakKeyDictionary[nn.Module, dict[torch.Size, int]] = WeakKeyDictionary()


def evaluation_room(device: torch.device) -> int:
    """Return how many bytes an evaluation on ``device`` may take.

    A share of all memory, not of what is free at the moment: the same on every call.
    """
    if device.type == "cuda":
        return int(_GPU_SHARE * torch.cuda.get_device_properties(device).total_memory)
    threads = min(1.0, torch.get_num_threads() / num_cores())
    return int(_CPU_SHARE * threads * machine_memory())


def images_at_once(model: nn.Module, images: Tensor) -> int:
    """Return how many of ``images``, ``(B, C, H, W)``, go through ``model`` at once.

    The first call with a model passes two of them through it to see what they take. At least one,
    even if it takes more than `evaluation_room`; otherwise at most B.

    Args:
        model: In evaluation mode, on the device of the images.
        images: At least one.
    """
    known = _bytes_of_models.setdefault(model, {})
    shape = images.shape[1:]
    if shape not in known:
        few = images[:_PROBED].clone()  # not a view of all of them
        known[shape] = _bytes_of_image(model, few)
    return max(1, min(len(images), evaluation_room(images.device) // known[shape]))


def _bytes_of_image(model: nn.Module, images: Tensor) -> int:
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    devices = [images.device] if images.device.type == "cuda" else []
    seen = _LargestOperation(weights)
    with torch.no_grad(), torch.random.fork_rng(devices), seen:
        model(images)
    return max(1, _MARGIN * seen.num_bytes // len(images))


class _LargestOperation(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees how many bytes an operation takes and gives at most, without weights."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_bytes: int = 0
        self._weights = weights

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        storages = {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in tree_leaves((args, kwargs, result))
            if isinstance(tensor, Tensor)
        }
        sizes = (size for place, size in storages.items() if place not in self._weights)
        self.num_bytes = max(self.num_bytes, sum(sizes))
        return result
