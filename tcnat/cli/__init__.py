"""The ``tcnat`` command. Each subcommand is a module of this package with a click command named ``command``;
it is imported only when asked for, so that none pays for another's imports."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from tcnat import __version__
from tcnat.errors import TcnatError

COMMANDS: dict[str, str] = {
    "agent": "Keep the datapath in step with a cluster's Services.",
    "check": "Probe what this kernel can do, and say what is missing.",
    "cleanup": "Remove every filter, pin and device of tcnat's, and nothing else.",
    "completion": "Print the shell completion script.",
    "explain": "Tell which decision a packet would get, and why.",
    "get": "Show services, backends, flows or devices from the maps.",
    "replay": "Run a packet capture through the real programs.",
    "status": "Show whether the datapath stands, and its counters.",
    "sysdump": "Pack what support asks for, without secrets.",
    "trace": "Show the datapath's decisions as they are made.",
    "version": "Show the version.",
}


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tcnat.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tcnat")
def root() -> None:
    """Kubernetes Services on nodes without cgroup2, through two tc eBPF programs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; every error that a person can cause ends in one line and an exit code that is not 0."""
    arguments: dict[str, Any] = {} if argv is None else {"args": list(argv)}
    try:
        code = root.main(prog_name="tcnat", standalone_mode=False, **arguments)
        sys.exit(code if isinstance(code, int) else 0)
    except TcnatError as error:
        click.echo(f"tcnat: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "tcnat":
            raise
        click.echo(f"tcnat: this needs the Python module {error.name}, which is not installed here", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
