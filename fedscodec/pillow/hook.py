"""Register .feds with Pillow once both are imported, in either order, without importing Pillow.

Pillow does not search for plugins. So `import fedscodec` registers ours if Pillow is imported already. Otherwise it
waits for that import with an import finder, which finds nothing itself and removes itself after the import. A program
may also only ask where Pillow is, any number of times.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..fileformat import MAGIC

FORMAT, WATCHED = "FEDS", "PIL.Image"
SAVE_DEFAULTS: dict[str, Any] = {}
"""Defaults for the options of `Image.save` for .feds files; see `register_feds_opener`."""


def install() -> None:
    """Register the format now, or when Pillow is imported."""
    if WATCHED in sys.modules:
        _register(sys.modules[WATCHED])
    elif not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


def register_feds_opener(
    *,
    model: str | None = None,
    quality: float | None = None,
    device: str | None = None,
    stream_checks: bool | None = None,
    preview: bool | None = None,
    effort: int | None = None,
) -> None:
    """Register .feds with Pillow now, and set the defaults of `Image.save`.

    `import fedscodec` registers it too, with the defaults of `fedscodec.encode`; a call without options restores those.
    A quality or target given to `save` overrides the `quality` here.
    """
    options = {
        "model": model, "quality": quality, "device": device,
        "stream_checks": stream_checks, "preview": preview, "effort": effort,
    }  # fmt: skip
    SAVE_DEFAULTS.clear()
    SAVE_DEFAULTS.update((name, value) for name, value in options.items() if value is not None)
    _register(importlib.import_module(WATCHED))


def _register(pillow: Any) -> None:
    # By functions that load the plugin when they are called: now other parts of Pillow may still be half imported.
    pillow.register_open(FORMAT, _open, _accept)
    pillow.register_save(FORMAT, _save)
    pillow.register_save_all(FORMAT, _save)  # of one frame; the others are told
    pillow.register_extension(FORMAT, ".feds")
    pillow.register_mime(FORMAT, "image/x-feds")


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _open(stream: Any, filename: str | bytes) -> Any:
    from .plugin import FedsImageFile

    return FedsImageFile(stream, filename)


def _save(image: Any, stream: Any, filename: str | bytes) -> None:
    from .plugin import save

    save(image, stream, filename, SAVE_DEFAULTS)


class _Watcher:
    """Lets the other finders find Pillow, and registers the format after its import."""

    def __init__(self) -> None:
        self._asking = threading.local()  # whether this thread asks the other finders now

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders give for Pillow, with a loader that registers the format at its end."""
        if name != WATCHED or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.now = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
