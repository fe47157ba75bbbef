"""How a lack of memory shows, on CPUs and GPUs."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether ``error`` says that there was not enough memory."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # the allocator of the CPU, and libraries on a GPU, raise no class of their own
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("allocate memory", "out of memory", "ALLOC_FAILED")
    )
