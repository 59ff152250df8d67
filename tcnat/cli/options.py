"""What the subcommands share: options that take several values, and the output format."""

from __future__ import annotations

from typing import Any

import click


class ManyValues(click.Command):
    """A command whose ``multiple=True`` options also take several values at once: ``--objects a b`` means
    ``--objects a --objects b``. Where a positional argument would then be missing, it takes the last value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names: dict[str, click.Option] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option):
                for name in (*parameter.opts, *parameter.secondary_opts):
                    names[name] = parameter
        required = sum(isinstance(p, click.Argument) and p.required for p in self.get_params(ctx))
        return super().parse_args(ctx, _spread(args, names, required))


def _spread(args: list[str], names: dict[str, click.Option], required: int) -> list[str]:
    spread: list[str] = []
    positionals = 0
    eaten: list[int] = []  # where in `spread` a value stands that could also be a positional argument
    at = 0
    while at < len(args):
        word = args[at]
        at += 1
        if word == "--":
            positionals += len(args) - at
            return [*spread, word, *args[at:]]
        option = names.get(word.split("=", 1)[0])
        if option is None:
            positionals += not word.startswith("-")
            spread.append(word)
            continue
        spread.append(word)
        if option.is_flag or option.count or "=" in word or at >= len(args):
            continue
        spread.append(args[at])
        at += 1
        while option.multiple and at < len(args) and not (args[at].startswith("-") and len(args[at]) > 1):
            spread += [word, args[at]]
            eaten.append(len(spread) - 2)
            at += 1
    for start in reversed(eaten):
        if positionals >= required:
            break
        del spread[start]  # the option's name goes, its value stays as a positional argument
        positionals += 1
    return spread


def split_commas(ctx: click.Context, parameter: click.Parameter, values: Any) -> tuple[str, ...]:
    """Callback for options that take lists: repeated, several at once, or separated by commas, as kube-proxy has it."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="Output format.",
)
