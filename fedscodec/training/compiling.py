"""torch.compile for the transforms, and one sentence if it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from ..networks.model import FedsModel


def compile_transforms(model: FedsModel, trial: Callable[[], None], device: torch.device) -> str | None:
    """Compile g_a and g_s and try them on a device; on failure they stay as before, and the returned sentence says
    why. The trial must run under the settings of later steps, or these compile again. It draws no random numbers from
    the run.
    """
    import torch._dynamo
    from torch._logging import _internal as _logging

    _logging.set_logs(all=logging.CRITICAL)  # or there are thousands of lines of tracebacks
    for part in (model.g_a, model.g_s):
        part.compile()
    try:
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
            trial()
    except Exception as failure:  # whatever a compiler that is missing or does not know this machine raises
        for part in (model.g_a, model.g_s):
            part._compiled_call_impl = None
        trial_failed = " ".join(str(failure).split())[:120] or type(failure).__name__
        return f"--compile: torch.compile failed for g_a and g_s ({trial_failed}); they run uncompiled"
    torch._dynamo.config.suppress_errors = True  # of shapes that come later
    return None
