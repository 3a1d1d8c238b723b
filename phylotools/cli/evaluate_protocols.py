"""`phylotools evaluate protocols`: which protocols there are, and what one asks."""

from __future__ import annotations

import click

from phylotools.cli import options


@click.command(name="protocols")
@click.argument("protocol", required=False, metavar="[NAME|FILE.toml]")
@options.logging_options
def protocols_command(protocol: str | None) -> None:
    """List evaluation protocols, or print one in full.

    A protocol says which labels a question is about, which variants are compared and how, and
    which published figures stand beside. NAME:SETTING=N chooses a level: clinvar:stars=2. A file
    of your own, in TOML, is checked.

    \b
    phylotools evaluate protocols
    phylotools evaluate protocols clinvar:stars=2
    """
    from phylotools.evaluate.protocols.reading import load_protocol, protocol_names
    from phylotools.evaluate.protocols.wording import described, listed

    if protocol is None:
        click.echo(listed(map(load_protocol, protocol_names())), nl=False)
    else:
        click.echo(described(load_protocol(protocol)), nl=False)
