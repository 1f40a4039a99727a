"""Whatever goes wrong in a command is one sentence and an exit code."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import typer

from fedscodec.commands.failures import explained, one_sentence
from fedscodec.errors import FormatError, TooLargeError


class OutOfMemoryError(RuntimeError):
    """As torch calls its own."""


def failed(failure, debug=False):
    with pytest.raises(typer.Exit) as caught, one_sentence(debug):
        raise failure
    return caught.value.exit_code


NO_MEMORY = "feds: not enough memory for this picture on this device\n"


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (FormatError("a.feds: not a\n  .feds file"), 1, "feds: a.feds: not a .feds file\n"),
        (FileNotFoundError(2, "No such file", "a.png"), 1, "feds: a.png: No such file\n"),
        (OSError(28, "No space left"), 1, "feds: input or output: No space left\n"),
        (MemoryError(), 1, NO_MEMORY),
        (OutOfMemoryError("CUDA out of memory"), 1, NO_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, NO_MEMORY),
        (RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : while running Conv: std::bad_alloc"), 1, NO_MEMORY),
        (RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Failed to allocate memory for requested buffer"), 1, NO_MEMORY),
        (RuntimeError("pthread_create failed, error code: 11 error msg: Cannot allocate memory"), 1, NO_MEMORY),
        (
            ValueError("what\nnow"),
            70,
            "feds: internal error: ValueError: what now (run with --debug for the traceback)\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
    ],
)
def test_one_sentence_and_one_code(capsys, failure, code, words):
    assert failed(failure) == code
    assert capsys.readouterr() == ("", words)


def test_debug_shows_the_traceback_before_the_sentence(capsys):
    assert failed(FormatError("bad"), debug=True) == 1
    words = capsys.readouterr().err
    assert words.startswith("Traceback (most recent call last):\n")
    assert words.endswith("FormatError: bad\nfeds: bad\n")


def test_only_commands_that_have_it_advise_max_pixels():
    failure = TooLargeError("a.png: 9x9 pixels are more than the limit of 3")
    assert explained(failure) == (str(failure), 1)
    assert explained(failure, limited=True) == (f"{failure}; allow them with --max-pixels", 1)


@pytest.mark.parametrize("passing", [typer.Exit(3), typer.Abort(), typer.BadParameter("no"), SystemExit(4)])
def test_what_typer_and_python_end_with_passes(capsys, passing):
    with pytest.raises(type(passing)) as caught, one_sentence():
        raise passing
    assert caught.value is passing
    assert capsys.readouterr() == ("", "")


def test_warnings_for_developers_are_kept_back_unless_debugging():
    with one_sentence():
        warnings.warn("deprecated", stacklevel=1)
    with pytest.warns(UserWarning, match="deprecated"), one_sentence(debug=True):
        warnings.warn("deprecated", stacklevel=1)


SCRIPT = """
import typer
from fedscodec.commands.failures import one_sentence

def command():
    with one_sentence():
        print("words")

typer.run(command)
"""


def test_a_reader_that_has_left_ends_a_process_in_silence():
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 141
