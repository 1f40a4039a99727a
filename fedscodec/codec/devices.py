"""Choose device and precision, and save memory when it runs out."""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from ..errors import DeviceWarning, FedsError, LackOfMemoryWarning, is_lack_of_memory
from .threads import loaded_torch

if TYPE_CHECKING:  # which takes seconds to load, and is not needed with another backend
    import torch

S = TypeVar("S")
M = TypeVar("M", bound="Sparing")
P = ParamSpec("P")
T = TypeVar("T")


class Sparing(Protocol):
    """A network that can do the same work with less memory."""

    def cheaper(self: M) -> Iterator[tuple[str, M]]:
        """Equal networks that need less memory of the device, each with words on how it differs."""


def asked_device(name: str = "auto") -> str:
    """The name of the device to use: "auto" is what $FEDS_DEVICE says, and stays "auto" without it."""
    return (os.environ.get("FEDS_DEVICE") or name) if name == "auto" else name


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" is the first GPU if there is one, unless $FEDS_DEVICE says otherwise.

    Raises FedsError if there is no such device.
    """
    import torch

    name = asked_device(name)
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if fault := _fault_of("cuda"):
            warnings.warn(f"the GPU cannot be used ({fault}), continuing on the CPU", DeviceWarning, stacklevel=2)
        return torch.device("cpu" if fault else "cuda")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(name)):
        raise FedsError(f"device must be auto, cpu or cuda, found {name}")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise FedsError(f"device {name} was asked for, but torch finds no CUDA device here")
    if fault := _fault_of(name):
        raise FedsError(f"device {name} cannot be used ({fault})")
    return torch.device(name)


@functools.cache
def _fault_of(name: str) -> str:
    """Why a GPU cannot be used: this torch has no kernels for it, or another process keeps it for itself; or ""."""
    import torch

    try:
        (torch.zeros(1, device=name) + 1).item()
    except RuntimeError as failure:
        if is_lack_of_memory(failure):
            raise
        return str(failure).strip().partition("\n")[0]
    return ""


def choose_precision(device: torch.device) -> torch.dtype:
    """bfloat16 if the device multiplies it natively, else float32; $FEDS_PRECISION overrides this."""
    import torch

    wanted = os.environ.get("FEDS_PRECISION", "")
    if wanted:
        if wanted not in ("float32", "bfloat16"):
            raise FedsError(f"FEDS_PRECISION must be float32 or bfloat16, found {wanted}")
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    fast = any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return torch.bfloat16 if fast else torch.float32


def sparing(work: Callable[Concatenate[S, M, P], T]) -> Callable[Concatenate[S, M, P], T]:
    """Call `work(subject, network, ...)`; if memory runs out, warn with LackOfMemoryWarning and try again with less.

    An error of the last attempt is raised. Every attempt reads the same from a file.
    """

    @functools.wraps(work)
    def run(subject: S, network: M, /, *args: P.args, **options: P.kwargs) -> T:
        ways, current = network.cheaper(), network
        while True:
            try:
                return work(subject, current, *args, **options)
            except Exception as failure:
                if not is_lack_of_memory(failure) or (following := next(ways, None)) is None:
                    raise
            # Here, and not above, where the failure still holds on to all that was allocated.
            way, current = following
            if (torch := loaded_torch()) and torch.cuda.is_available():
                torch.cuda.empty_cache()
            warnings.warn(f"out of memory, continuing {way}", LackOfMemoryWarning, stacklevel=2)

    return run
