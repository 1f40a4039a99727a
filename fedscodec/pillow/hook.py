"""Pillow knows .feds as soon as both are imported, in whatever order, and neither makes the other be imported.

Pillow finds plugins of others only where somebody imports them. So `import fedscodec` registers ours where Pillow is
there already, and else watches for its import: a finder that finds nothing itself, and goes when it has done its work.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..fileformat import MAGIC

FORMAT, WATCHED = "FEDS", "PIL.Image"
SAVE_DEFAULTS: dict[str, Any] = {}
"""Options of `Image.save` for .feds files where a call does not give them; see `register_feds_opener`."""


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
    """Register .feds with Pillow now, and set what `Image.save` does where it is not told.

    `import fedscodec` registers it too, with the defaults of `fedscodec.encode`; those come back with a call without
    options. A quality or target given to `save` goes before the `quality` here.
    """
    told = {
        "model": model, "quality": quality, "device": device,
        "stream_checks": stream_checks, "preview": preview, "effort": effort,
    }  # fmt: skip
    SAVE_DEFAULTS.clear()
    SAVE_DEFAULTS.update((name, value) for name, value in told.items() if value is not None)
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

    save(image, stream, filename)


class _Watcher:
    """Lets the other finders find Pillow, and has the format registered after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find for Pillow, with a loader that registers the format at its end."""
        if name != WATCHED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                _register(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
