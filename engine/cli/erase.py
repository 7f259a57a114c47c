"""``winback erase``: everything of one shopper, for good."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine import bootstrap
from engine.cli._database import answering
from engine.cli._pauses import person
from engine.cli.main import FINDINGS, print_json
from engine.runtime.erase import Done, InFlight, WasErased, erase, find
from engine.runtime.explain import Nobody
from engine.runtime.shell import Shell
from engine.settings import Settings
from engine.store import erasure as erasure_store
from engine.store.audiences import AudienceStore
from engine.store.database import migrate
from engine.store.erasure import Listed


@click.command()
@click.argument("shopper")
@click.option("--yes", is_flag=True, help="Do it. Without it nothing is changed.")
@click.option("--by", help="Who does it, for the record. Default: who is logged in here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None, shopper: str, yes: bool, by: str | None, as_json: bool
) -> int:
    """Show all that there is of one shopper and, with --yes, delete it for good.

    SHOPPER is a user id, an e-mail address, a phone number, an anonymous id, a cart id or a
    profile's number. Their runs end, what is due to them is cancelled, and they come off every ad
    list: of that only hashes are kept, until the platforms have removed them. What stays is that
    somebody was erased, when and by whom, and a keyed hash of each identifier: nothing is written
    to these addresses until they say yes again.

    Not reached: your backups, log files, the mails in a local mailbox, and what your providers and
    your shop keep themselves.

    Exit codes: 0 shown, erased, or erased before; 1 nobody goes by that name, a message to them is
    being delivered, or a list could not be told; 2 wrong usage.

    \b
    Example:
      winback erase asha@example.com
      winback erase asha@example.com --yes --by "Privacy desk, ticket 4711"
      winback erase user:42 --yes --json
    """
    settings = Settings.from_environment(project_dir=project_dir)
    with answering(settings) as settings:
        assert settings.database_url is not None
        migrate(settings.database_url)
        shell = bootstrap.shell(settings)
        try:
            return _command(settings, shell, shopper, yes, person(by), as_json)
        except WasErased as gone:
            if as_json:
                print_json({"erased": True, "at": gone.erased.at, "by": gone.erased.by})
            else:
                click.echo(str(gone))
            return 0
        except (Nobody, InFlight) as error:
            if not as_json:
                raise
            print_json({"erased": False, "problem": str(error)})
            return FINDINGS
        finally:
            shell.database.close()


def _command(
    settings: Settings, shell: Shell, shopper: str, yes: bool, by: str, as_json: bool
) -> int:
    with shell.database.connection() as connection:
        found = find(connection, shell, shopper)
        files = AudienceStore(connection, shell.policy().ads_consent).of(found.known.profile)
    if not yes:
        if as_json:
            print_json({"erased": False, "profile": found.known.profile, "rows": found.rows})
        else:
            _print_rows(found.rows)
            click.echo("Nothing was changed. To delete it for good: --yes")
        return 0
    done = erase(shell, shopper, by)
    listed, problems = _let_go(settings, shell, done, files)
    if as_json:
        print_json(
            {
                "erased": True,
                "id": done.id,
                "at": done.at,
                "by": by,
                "rows": done.rows,
                "still_listed": [one._asdict() for one in listed],
                "problems": problems,
            }
        )
    else:
        click.echo(f"Erased: {done.rows:,} rows. The act is on record as {done.id}.")
        for one in listed:
            told = "told, not confirmed yet" if one.asked else "to be told by the workers"
            click.echo(f"  {one.audience}: {told}; the hashes go when they are removed there")
        for problem in problems:
            click.secho(f"  {problem}", fg="yellow")
    return FINDINGS if problems else 0


def _let_go(
    settings: Settings, shell: Shell, done: Done, files: list[str]
) -> tuple[list[Listed], list[str]]:
    """Have the platforms told now, and the files written anew; what is not done then the workers
    go on with."""
    problems: list[str] = []
    apis = shell.policy().audiences
    with shell.database.connection() as connection:
        mine = erasure_store.still_listed(connection, done.known.profile)
    if on := [one.audience for one in mine if one.audience in apis]:
        turns = bootstrap.pusher(settings, shell).push(5.0, on, additions=False)
        problems += [f"{t.audience}: {t.problem}; it is tried again" for t in turns if t.problem]
    if any(name not in apis for name in files):
        problems += bootstrap.audience_sync(settings, shell, everything=True)().problems
    with shell.database.connection() as connection:
        return erasure_store.still_listed(connection, done.known.profile), problems


def _print_rows(rows: dict[str, int]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("What there is")
    table.add_column("rows", justify="right")
    for what, count in rows.items():
        if count:
            table.add_row(what, f"{count:,}")
    Console(highlight=False).print(table)
