"""The `feds` command with its subcommands.

Every subcommand is a file in `commands`: it parses its arguments, calls one function and prints one line or one table.
Results go to a file or to standard output, messages to standard error. The commands import heavy packages (torch,
numpy, Pillow, rich) only when they run, so `feds --help` and completion answer at once. `commands.failures` lists the
exit codes.
"""

from __future__ import annotations

from typing import Annotated

import typer

from .commands import (
    bench,
    bench_report,
    compare,
    decode,
    distill,
    encode,
    entropy,
    export,
    finetune,
    info,
    install_desktop,
    models,
    rounding,
    train,
    verify,
    web,
)
from .files.standard import reopen_closed
from .version import __version__

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # rich would double the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command(epilog=encode.EXAMPLES)(encode.encode)
app.command(epilog=decode.EXAMPLES)(decode.decode)
app.command(epilog=info.EXAMPLES)(info.info)
app.command(epilog=verify.EXAMPLES)(verify.verify)
app.command(epilog=compare.EXAMPLES)(compare.compare)
app.command(epilog=models.EXAMPLES)(models.models)
app.command(epilog=train.EXAMPLES)(train.train)
app.command(epilog=distill.EXAMPLES)(distill.distill)
app.command(epilog=finetune.EXAMPLES)(finetune.finetune)
app.command(epilog=export.EXAMPLES)(export.export)
app.command(epilog=rounding.EXAMPLES)(rounding.rounding)
app.command(epilog=bench.EXAMPLES)(bench.bench)
app.command(epilog=bench_report.EXAMPLES)(bench_report.report)
app.command(epilog=entropy.EXAMPLES)(entropy.entropy)
app.command(epilog=install_desktop.EXAMPLES)(install_desktop.install_desktop)
app.command(epilog=web.EXAMPLES)(web.web)


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
    app(prog_name="feds")
