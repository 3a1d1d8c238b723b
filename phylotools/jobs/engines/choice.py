"""Which engine a user names with ``--on``."""

from __future__ import annotations

from phylotools.errors import UsageError, shown
from phylotools.jobs.engines.engine import Engine

#: What may be named, for messages and help.
ENGINES = "local:N, slurm[:KEY=VALUE,...], dask:N, dask://HOST:PORT"


def choose_engine(text: str) -> Engine:
    """The engine that a text names.

    Parameters
    ----------
    text : str
        ``local`` or ``local:N``: N processes on this machine. ``slurm`` or
        ``slurm:KEY=VALUE,...``: jobs of SLURM. ``dask:N``: N workers of Dask on this machine;
        ``dask://HOST:PORT`` (or ``tls://``): those of a scheduler.

    Raises
    ------
    UsageError
        If it names none, an option of it is wrong, or the engine's package is not installed.
    """
    name, _, rest = text.partition(":")
    # Each is imported when it is named.
    if name == "local":
        from phylotools.jobs.engines.local import local_engine

        return local_engine(rest)
    if name == "slurm":
        from phylotools.jobs.engines.slurm import slurm_engine

        return slurm_engine(rest)
    if name == "dask":
        from phylotools.jobs.engines.dask import dask_engine

        return dask_engine(rest)
    raise UsageError(f"--on: there is no engine {shown(text)!r}; choose among {ENGINES}")
