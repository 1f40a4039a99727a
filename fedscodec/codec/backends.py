"""Choose what runs a network: ONNX Runtime, which starts in a tenth of a second, or torch, which also trains and uses
GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from ..errors import FedsError
from ..graphs import sessions
from ..graphs.transforms import can_be_exported
from ..networks.spec import ModelSpec
from .devices import asked_device
from .threads import loaded_torch

BACKENDS = ("auto", "onnx", "torch")
TORCH_EXTRA = "pip install 'fedscodec[torch]'"
_DRIVERS = (
    Path("/dev/nvidiactl"),
    Path("/usr/lib/wsl/lib/libcuda.so.1"),  # Linux within Windows
    Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvcuda.dll"),
)
"""One of these is there where a GPU of Nvidia's can be used; torch would need seconds to tell."""


def choose_backend(wanted: str, device: str, spec: ModelSpec, name: str) -> str:
    """Return "onnx" or "torch" for a network called `name`. Raises FedsError if the choice is not possible here.

    "auto", which $FEDS_BACKEND may set, is torch if a GPU is requested or (device "auto") present, if the network has
    parts that cannot be exported to ONNX, if torch is already loaded, and if only torch is installed.
    """
    wanted = os.environ.get("FEDS_BACKEND", "") or wanted if wanted == "auto" else wanted
    device = asked_device(device)
    if wanted not in BACKENDS:
        raise FedsError(f"backend must be {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}, found {wanted}")
    if wanted == "onnx":
        if device not in ("auto", "cpu"):
            raise FedsError(f"the onnx backend runs on the CPU only, but device {device} was asked for")
        if not can_be_exported(spec):
            raise FedsError(f"{name} has parts that only the torch backend runs; {need_of_torch()}")
        if not sessions.is_there():
            raise FedsError("the onnx backend needs ONNX Runtime: pip install onnxruntime")
        return "onnx"
    on_gpu = gpu_is_wanted(device)
    loaded = loaded_torch() is not None
    if wanted == "auto" and sessions.is_there() and can_be_exported(spec) and not on_gpu and not loaded:
        return "onnx"
    if not has_torch():
        why = "a GPU" if on_gpu else "the torch backend" if can_be_exported(spec) else f"the network {name}"
        raise FedsError(f"{why} needs torch, which is not installed: {TORCH_EXTRA}")
    return "torch"


def gpu_is_wanted(device: str) -> bool:
    """Whether a device is a GPU; "auto" is one if a GPU is present and $FEDS_DEVICE does not say otherwise."""
    device = asked_device(device)
    if device == "auto":
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        return not hidden and any(path.exists() for path in _DRIVERS) and has_torch()
    return device != "cpu"


def has_torch() -> bool:
    """Whether torch can be loaded."""
    return find_spec("torch") is not None


def need_of_torch() -> str:
    """How to install torch, as part of a sentence."""
    return "--backend torch, or auto, takes it" if has_torch() else f"torch is not installed: {TORCH_EXTRA}"


def share_cores(threads: int) -> Callable[[], None]:
    """Limit the threads of each network that runs beside others; return a function that undoes this."""
    before = os.environ.get("OMP_NUM_THREADS")  # read by sessions of ONNX Runtime, and by torch when it is loaded
    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch = loaded_torch()
    used = torch.get_num_threads() if torch else None
    if torch:
        torch.set_num_threads(threads)  # threads that begin after this take it over

    def restore() -> None:
        if before is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = before
        if torch:
            torch.set_num_threads(used)

    return restore
