"""``tcnat completion``: the script that makes a shell complete tcnat's commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tcnat.errors import TcnatError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Examples:
      tcnat completion bash > /etc/bash_completion.d/tcnat
      tcnat completion zsh > "${fpath[1]}/_tcnat"
      tcnat completion fish > ~/.config/fish/completions/tcnat.fish
      source <(tcnat completion bash)
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise TcnatError(f"click has no completion for {shell}")
    try:
        click.echo(kind(ctx.find_root().command, {}, "tcnat", "_TCNAT_COMPLETE").source())
    except RuntimeError as error:
        raise TcnatError(str(error)) from None
