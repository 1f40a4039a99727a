"""Peak memory of a piece of work, by the system's high-water mark of resident memory.

Linux keeps one for every process and lets a process reset its own. Other systems report nothing, because marks that
cannot be reset show the largest picture so far. On a GPU it is what torch allocated there.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ..machine import return_freed_memory

PROCESS = "resident memory of the whole process, with Python, torch and the weights"
GROWTH = "resident memory above what the process held before"
CHILD = "resident memory of the whole process of ffmpeg, read every 2 ms"
CUDA = "memory that torch allocated on the GPU, weights included"


class PeakMemory:
    """Starts to measure when it is created.

    `growth`: report only what exceeds the memory resident at the start. `device`: a CUDA device (torch.device) to
    measure instead of the process.
    """

    def __init__(self, *, growth: bool = False, device: Any = None) -> None:
        self._device, self._growth, self._before = device, growth, 0
        if device is not None:
            import torch

            torch.cuda.reset_peak_memory_stats(device)
            return
        if growth:
            return_freed_memory()  # it would be used again, and not be seen to grow
        self._can = _lower_mark()
        self._before = (resident("VmRSS") or 0) if growth else 0

    def bytes(self) -> int | None:
        """The peak so far, or None if the system does not report it."""
        if self._device is not None:
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        peak = resident("VmHWM") if self._can else None
        return None if peak is None else max(peak - self._before, 0)


def resident(field: str, process: int | str = "self") -> int | None:
    """Bytes of a field of /proc/PROCESS/status, None if there is none: VmRSS is resident now, VmHWM its peak."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None


def _lower_mark() -> bool:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return True
    return False
