"""Where `feds` and `python -m fedscodec` begin."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `feds`; Ctrl-C ends it without a traceback, also while modules are imported."""
    try:
        from .cli import main as feds

        feds()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
