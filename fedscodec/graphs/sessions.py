"""The only file that uses ONNX Runtime."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np

from ..errors import FedsError
from ..machine import usable_cores
from .building import Graph


@functools.cache
def is_there() -> bool:
    """Whether ONNX Runtime is installed; whether it can be loaded, only loading it tells."""
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None


def threads() -> int:
    """Number of threads of a session: $OMP_NUM_THREADS, as torch reads it, else the cores of this process."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return usable_cores()


class Session:
    """A graph, or an ONNX file, that is ready to run on the CPU."""

    def __init__(self, graph: Graph | bytes) -> None:
        if not is_there():
            raise FedsError("the onnx backend needs ONNX Runtime: pip install onnxruntime")
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it writes to the user's cache and calls its maker
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
        options.log_severity_level = 4  # what goes wrong is raised
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # a tenth less memory, and no slower
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others want the core, too
        data = graph if isinstance(graph, bytes) else graph.packed({})
        self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs of inputs, in the order of the graph."""
        given = {name: np.ascontiguousarray(x) for name, x in zip(self._names, inputs, strict=True)}
        found: list[np.ndarray] = self._session.run(None, given)
        return found
