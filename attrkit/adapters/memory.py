"""Memory: how much is left, how much was held, and whether an error says that it ran out."""

import sys
from contextlib import suppress
from pathlib import Path


def is_out_of_memory(err: BaseException) -> bool:
    """Whether an error of any framework says that memory ran out, on whatever device."""
    kinds = {cls.__name__ for cls in type(err).__mro__}
    text = str(err)
    return (
        isinstance(err, MemoryError)
        or bool(kinds & {"OutOfMemoryError", "ResourceExhaustedError"})
        or "RESOURCE_EXHAUSTED" in text
        or "CUDA out of memory" in text
        or "DefaultCPUAllocator" in text
    )


def free_memory() -> int:
    """Return the bytes that this process may still take, of the machine or of the container it runs in."""
    # Not at the top, as it takes a tenth of what attrkit takes to import.
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    # No container, or one without a limit ("max").
    with suppress(OSError, ValueError):
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(free, 0)


def peak_memory() -> int:
    """Return the largest memory in bytes that the process has held so far, 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
