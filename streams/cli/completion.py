"""`brh completion`: what a shell needs to complete commands, options, states and ids."""

from __future__ import annotations

import click
import rich_click
from click.shell_completion import get_completion_class

from streams.cli.errors import CliError
from streams.cli.help import examples


@click.command(
    "completion",
    cls=rich_click.RichCommand,
    epilog=examples(
        'eval "$(brh completion bash)"',
        "brh completion zsh > ~/.zfunc/_brh",
        "brh completion fish > ~/.config/fish/completions/brh.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, options, states, types and transaction ids.

    Ids and types are asked of the API at BRH_API_URL, for a second at most; where it does not answer there are none.
    """
    complete = get_completion_class(shell)
    if complete is None:
        raise CliError(f"{shell} cannot be completed for", code="no-shell", remedy="Take bash, zsh or fish.")
    click.echo(complete(ctx.find_root().command, {}, "brh", "_BRH_COMPLETE").source())
