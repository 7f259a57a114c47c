"""``winback``: finds the commands beside this file and loads only the one that is asked for."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

import engine.cli
from engine import __version__
from engine.errors import WinbackError

FINDINGS = 1

#: The order in which a person meets them; a command that is not named here comes after.
ORDER = (
    *("up", "demo", "lint", "test", "preview", "send-test", "simulate", "plan", "apply"),
    *("explain", "segment", "replay"),
    *("audit", "bench", "simulators", "import", "export", "erase", "doctor"),
)

_MODULES = {
    info.name.removesuffix("_").replace("_", "-"): info.name
    for info in pkgutil.iter_modules(engine.cli.__path__)
    if info.name != "main" and not info.name.startswith("_")
}


class Commands(click.Group):
    """One command per module of this package (``import_.py`` is the command ``import``,
    ``send_test.py`` is ``send-test``)."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted(_MODULES, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _MODULES:
            return None
        command = importlib.import_module(f"engine.cli.{_MODULES[name]}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            near = _nearest(args[0], self.list_commands(context))
            raise click.UsageError(
                f"There is no command {args[0]!r}.{near} See: winback --help", context
            ) from error


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="winback")
@click.option(
    "--project-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Where journeys/, templates/ and config/ are. Default: WINBACK_PROJECT_DIR, else here.",
)
@click.pass_context
def group(context: click.Context, project_dir: Path | None) -> None:
    """Journeys that win shoppers back by mail, SMS and ads until the purchase stops them.

    \b
    Example:
      winback demo         see it work, on a shop of its own
      winback up           run it here
      winback lint         check the journeys

    Exit codes: 0 fine, 1 findings or an error, 2 wrong usage.
    """
    context.obj = project_dir


def main() -> NoReturn:
    """The console script. An error of ours is a line for a person, never a trace."""
    try:
        code = group.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.secho("Stopped.", err=True)
        sys.exit(130)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:  # wrong usage: exit code 2
        error.show()
        sys.exit(error.exit_code)
    except WinbackError as error:
        click.secho(str(error), fg="red", err=True)
        sys.exit(FINDINGS)
    # With standalone_mode off, click gives the exit code of --help and ctx.exit as the result.
    sys.exit(code if isinstance(code, int) else 0)


def print_json(value: Any) -> None:
    """What ``--json`` prints: one document, for a program. Times as ISO 8601."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def _nearest(word: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


if __name__ == "__main__":
    main()
