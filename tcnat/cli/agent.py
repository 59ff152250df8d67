"""``tcnat agent``: flags, and from there to :mod:`tcnat.agent`. The flags are the table of :mod:`tcnat.config`."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import click

from tcnat.cli.options import ManyValues
from tcnat.config import SETTINGS, Setting, configure


class AgentCommand(ManyValues):
    """Switches may stand alone or have a value, as kube-proxy's: ``--masquerade-all``, ``--masquerade-all=false``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {f"--{setting.key}" for setting in SETTINGS if setting.is_switch}
        return super().parse_args(ctx, [f"{word}=true" if word in switches else word for word in args])


def _option(setting: Setting) -> click.Option:
    """Values are taken as they are written: :func:`configure` checks them, wherever they come from."""
    default = ",".join(setting.default) if isinstance(setting.default, tuple) else setting.default
    words = setting.choices or (("true", "false") if setting.is_switch else ())
    listed = f"[{'|'.join(words)}]"
    return click.Option(
        [f"--{setting.key}", *(["-v"] if setting.key == "v" else []), setting.field],
        multiple=setting.many,
        metavar=setting.metavar or (f"[={listed[1:]}" if setting.is_switch else listed),
        help=f"{setting.help}{f'  [default: {default}]' if default else ''}",
        shell_complete=(lambda _ctx, _option, begun: [word for word in words if word.startswith(begun)])
        if words
        else None,
    )


@click.command("agent", cls=AgentCommand)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A file with any of these settings: their names as keys, in YAML. What is given here wins.",
)
@click.option("--cleanup", "clean_up", is_flag=True, help="Remove tcnat's filters and pins, and end.")
def command(config_file: Path | None, clean_up: bool, **given: Any) -> None:
    """Keep the datapath in step with a cluster's Services.

    Programs and maps stay when the agent ends, and traffic goes on: only --cleanup, --cleanup-on-exit or
    `tcnat cleanup` remove them.

    \b
    Examples:
      tcnat agent --objects services.yaml --network-device eth0
      tcnat agent --objects /etc/tcnat/objects --workload-device 'veth*' --v 4
      tcnat agent --config /etc/tcnat/agent.yaml --metrics-bind-address 0.0.0.0:10249
      tcnat agent --cleanup
    """
    flags = {setting.key: given[setting.field] for setting in SETTINGS if given[setting.field] not in {None, ()}}
    config = configure(flags, config_file)
    if clean_up:
        from tcnat.cleanup import cleanup  # noqa: PLC0415  (an agent that does not start does without it)

        click.echo("\n".join(cleanup(config.pin_path).lines()))
    else:
        gc.disable()  # what is imported is no garbage
        from tcnat import agent  # noqa: PLC0415

        gc.freeze()
        gc.enable()
        agent.run(config)


command.params[:0] = [_option(setting) for setting in SETTINGS]
