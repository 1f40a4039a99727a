"""The three files that register .feds on a freedesktop system, and their places below its data folder.

The media type: https://specifications.freedesktop.org/shared-mime-info-spec, the entry of the program that opens them:
https://specifications.freedesktop.org/desktop-entry-spec, the thumbnailer: what GNOME Files, Nemo, Caja, Thunar (by
tumbler) and others read in `thumbnailers`.
"""

from __future__ import annotations

from collections.abc import Sequence

MIME_TYPE = "image/x-feds"
MIME_FILE, ENTRY_FILE, THUMBNAILER_FILE = (
    "mime/packages/feds.xml",
    "applications/feds.desktop",
    "thumbnailers/feds.thumbnailer",
)

_MIME = f"""<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{MIME_TYPE}">
    <comment>feds image</comment>
    <generic-icon name="image-x-generic"/>
    <magic priority="60">
      <match type="string" offset="0" value="FEDS"/>
    </magic>
    <glob pattern="*.feds"/>
  </mime-type>
</mime-info>
"""

_ENTRY = f"""[Desktop Entry]
Type=Application
Name=feds viewer
Comment=Decode a .feds picture and show it
TryExec={{program}}
Exec={{command}} %f
Icon=image-x-generic
MimeType={MIME_TYPE};
NoDisplay=true
Terminal=false
Categories=Graphics;Viewer;
"""

_THUMBNAILER = f"""[Thumbnailer Entry]
TryExec={{program}}
Exec={{command}} %i %o %s
MimeType={MIME_TYPE};
"""


def entries(python: str) -> dict[str, str]:
    """Every text by its place below the data folder; `python` is the interpreter that has feds installed."""
    start = [python, "-P", "-m"]  # -P: else Python takes modules from the folder it is started in, as a downloaded one
    show, thumbnail = (_command([*start, f"fedscodec.desktop.{module}"]) for module in ("show", "thumbnail"))
    program = _escaped(python)
    return {
        MIME_FILE: _MIME,
        ENTRY_FILE: _ENTRY.format(program=program, command=show),
        THUMBNAILER_FILE: _THUMBNAILER.format(program=program, command=thumbnail),
    }


def _command(words: Sequence[str]) -> str:
    return " ".join(
        _escaped(f'"{_quoted(word)}"' if set(word) & set(" \t'\"\\$`<>~|&;*?#()%") else word) for word in words
    )


def _quoted(word: str) -> str:
    # Inside quotes of an Exec line: these four with a backslash, and a percent sign twice.
    for character in '\\"`$':
        word = word.replace(character, f"\\{character}")
    return word.replace("%", "%%")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\")  # as in every value of such a file
