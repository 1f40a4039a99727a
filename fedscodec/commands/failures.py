"""How a command fails: with one sentence on standard error, and an exit code for the kind of failure.

* 1: a failure that feds foresees, or that the system reports
* 3: a damaged file of which `feds decode --best-effort` showed the intact part
* 2: wrong usage, reported by Typer itself
* 70: a bug in feds
* 129, 143: SIGHUP or SIGTERM while a training run reads pictures, or twice while it trains
* 130: Ctrl-C
* 141: the reader of a pipe has closed it
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from ..errors import DeviceWarning, FedsError, TooLargeError, is_lack_of_memory
from .streams import say

DAMAGED = 3
EXTRAS = {"torch": "torch", "pytorch_optimizer": "train", "jinja2": "bench", "compressai": "bench", "timm": "bench"}
"""Packages that the package alone does not install, and the extra that brings each."""


@contextmanager
def one_sentence(debug: bool = False, *, limited: bool = False) -> Iterator[None]:
    """Turn every exception inside into a sentence and `typer.Exit`; show a traceback only with `debug`.

    limited: whether the command has --max-pixels.

    Python's own warnings are for developers and are shown only with `debug`. Those about the device are always shown.
    """
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
                warnings.filterwarnings("always", category=DeviceWarning)
                warnings.showwarning = _say
            yield
            print(end="", flush=True)  # here, where a full disk or a reader that has left can still be told
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except (Exception, KeyboardInterrupt) as failure:
        if debug:
            import traceback

            traceback.print_exc()
        sentence, code = explained(failure, limited=limited)
        if sentence:
            say(f"feds: {' '.join(sentence.split())}")
        if isinstance(failure, OSError):
            _drop_standard_output()
        raise typer.Exit(code) from None


def _say(message: Warning | str, *_: object, **__: object) -> None:
    say(f"feds: {message}")


def explained(failure: BaseException, *, limited: bool = False) -> tuple[str, int]:
    """The sentence and the exit code for a failure, in a command that has --max-pixels or (not limited) has not."""
    match failure:
        case KeyboardInterrupt():
            return "", 130
        case BrokenPipeError():
            return "", 141
        case TooLargeError() if limited:
            return f"{failure}; allow them with --max-pixels", 1
        case FedsError():
            return str(failure), 1
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in EXTRAS:
            package = name.partition(".")[0]
            return f"this needs {package}, which is not installed: pip install 'fedscodec[{EXTRAS[package]}]'", 1
        case OSError(errno=errno.EBADF, filename=None):  # at the end of the words, where nothing else is in use
            return "standard output: is closed, expected a file or a pipe to write to", 1
        case OSError():
            return f"{failure.filename or 'input or output'}: {failure.strerror or failure}", 1
    if is_lack_of_memory(failure):
        return "not enough memory for this picture on this device", 1
    what = f"{type(failure).__name__}: {failure}"
    return f"internal error: {what} (run with --debug for the traceback)", 70


def _drop_standard_output() -> None:
    # What is left in its buffer would fail once more, and be complained about, when the interpreter ends.
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
