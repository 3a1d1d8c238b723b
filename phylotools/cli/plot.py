"""``phylotools plot``: logo, embedding, llr, frequency."""

from __future__ import annotations

import click

from phylotools.cli.plot_embedding import embedding_command
from phylotools.cli.plot_logo import logo_command
from phylotools.cli.plot_scores import frequency_command, llr_command


@click.group(name="plot")
def plot_command() -> None:
    """Pictures as SVG and PNG, with their numbers as TSV beside them.

    -o NAME.svg or -o NAME.png writes that picture and NAME.tsv; -o NAME writes both and the table.
    """


for _command in (logo_command, embedding_command, llr_command, frequency_command):
    plot_command.add_command(_command)
