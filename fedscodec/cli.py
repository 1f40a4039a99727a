"""The `feds` command with its subcommands.

Every subcommand is a file in `commands`: it parses its arguments, calls one function and prints one line or one table.
Results go to a file or to standard output, messages to standard error. The commands import heavy packages (torch,
numpy, Pillow, rich) only when they run, so `feds --help` and completion answer at once. `commands.failures` lists the
exit codes.
"""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .files.standard import reopen_closed
from .version import __version__

COMMANDS = {  # and the file of each in `commands`, whose function has the name of the command
    name: name.replace("-", "_")
    for name in (
        "encode", "decode", "info", "verify", "compare", "models", "train", "distill", "finetune", "export", "rounding",
        "bench", "report", "ablate", "entropy", "install-desktop", "web",
    )
} | {"report": "bench_report"}  # fmt: skip
"""In the order of the help."""


class _Commands(UserDict[str, Any]):
    """Commands by their names, each made when it is asked for: all of them would take half as long as numpy loads."""

    def __getitem__(self, name: str) -> Any:
        if isinstance(made := self.data[name], str):
            module = import_module(f".commands.{made}", __package__)
            alone = _typer(add_completion=False)
            alone.command(name, cls=_Command, epilog=module.EXAMPLES)(getattr(module, name.replace("-", "_")))
            made = self.data[name] = typer.main.get_command(alone)
        return made


class _Command(TyperCommand):
    """A subcommand of `feds`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`IN...` for a required argument, as most programs show it; newer releases of typer have `{IN...}`."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]


class _Group(TyperGroup):
    """`feds` itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands(COMMANDS)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty arguments: an empty path would be the current folder, when a variable of a shell is not set."""
        for arg in args:
            if arg == "" or (arg.startswith("--") and arg.endswith("=")):
                ctx.fail(f"{arg.removesuffix('=') or 'an argument'} is empty, expected a value")
        return super().parse_args(ctx, args)


def _typer(**more: Any) -> typer.Typer:
    return typer.Typer(
        rich_markup_mode=None,  # rich would double the time that --help takes
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **more,
    )


app = _typer(cls=_Group, no_args_is_help=True)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"feds {__version__}")
        raise typer.Exit


@app.callback()
def feds(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Encode pictures into .feds files and decode them, with a learned codec that is the same on every machine."""


def main() -> None:
    """Run `feds` with the arguments of this process, and leave with its exit code."""
    reopen_closed()
    app(prog_name="feds", windows_expand_args=False)  # which would take a name with brackets for a pattern
