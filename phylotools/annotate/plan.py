"""Plan of a job of annotating: model, reference, settings, and a file cut into parts."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from phylotools.annotate.opening import (
    check_output,
    fields_of,
    inputs_of,
    open_scoring,
    output_type,
    told_already,
)
from phylotools.annotate.settings import AnnotationSettings
from phylotools.errors import UsageError
from phylotools.io.contigs import alias_table
from phylotools.io.regions import Region, RegionSet
from phylotools.io.variant_table import ParquetRows
from phylotools.io.vcf.parts import Layout, Part, cut
from phylotools.io.vcf.reader import VariantStream
from phylotools.jobs.engines.engine import Engine, part_size
from phylotools.jobs.job import Job, file_identity
from phylotools.model.planned import PlannedModel
from phylotools.provenance import RunRecord

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: Bytes of the input as it is stored: of a bgzip VCF of a population some 100,000 records.
PARTITION_BYTES = 4 << 20
#: Of less text the start of a part costs more than what it shares out.
_FEWEST_BYTES = 1 << 18
#: Plain text has about so many times the bytes of the same compressed.
_PLAIN = 4


@dataclass(frozen=True, kw_only=True)
class Plan(Job):
    """The job of annotating a file; each partition is a part of it.

    Attributes
    ----------
    settings : AnnotationSettings
        What decides the output's text: with absolute paths, and without what only says how it is
        computed or where it goes. `output_type` is what it comes out as.
    model : PlannedModel
    variants : str
        Absolute path.
    is_vcf : bool
        Whether they are a VCF or BCF, not a table.
    layout : Layout
    regions : tuple of Region or None
        Those asked for, if any are.
    aliases : str or None
        Table of other names of contigs.
    """

    verb: ClassVar[str] = "annotate"
    version: ClassVar[int] = 1
    settings: AnnotationSettings
    model: PlannedModel
    variants: str
    is_vcf: bool
    layout: Layout
    regions: tuple[Region, ...] | None
    aliases: str | None
    extents: tuple[Part, ...]

    def output(self) -> tuple[Any, ...]:
        return self.settings, self.model, self.variants, self.identities, self.regions, self.aliases

    def check_plan(self) -> None:
        reached: int | None = 0
        for part in self.extents:
            if reached is None or part.begin < reached:
                raise ValueError(part)
            reached = part.end
            if reached is not None and reached < part.begin:
                raise ValueError(part)
        if not self.extents:
            raise ValueError(self.extents)

    @property
    def region_set(self) -> RegionSet | None:
        """The regions asked for, if any are."""
        return None if self.regions is None else RegionSet.of(self.regions)


def make_plan(
    model: Model,
    source: VariantStream,
    settings: AnnotationSettings,
    output: str | None = None,
    *,
    partition_bytes: int | None = None,
    engine: Engine | None = None,
) -> Plan:
    """Plan a job: check what can be checked at once, and cut the file.

    Its first block is judged as in a run of the whole file, and not scored.

    Parameters
    ----------
    model : Model
    source : VariantStream
        The whole file, of which nothing has been taken.
    settings : AnnotationSettings
    output : str, optional
        Its suffix decides what comes out, unless the settings do; else it is bgzip, and a table
        comes out as text.
    partition_bytes : int, optional
        Bytes of the file as it is stored [default: 4 MiB of bgzip, 16 MiB of plain text, less where
        an engine has many workers].
    engine : Engine, optional

    Raises
    ------
    InputError, UsageError
    """
    fields_of(model, settings)
    check_output(output or "-", source, settings)
    settings = _with_absolute_paths(settings, model)
    if output is None and settings.output_type is None:
        kind = "z" if source.rows is None else "v"
    else:
        kind = output_type(output or "-", source, settings.output_type)
    path = source.path if source.path == "-" else os.path.abspath(source.path)
    identities = _identities(path, settings, model)
    size = partition_bytes
    if size is None:
        size = PARTITION_BYTES * (1 if _is_compressed(path, source) else _PLAIN)
        size = part_size(os.path.getsize(path), size, engine, _FEWEST_BYTES)
    with open_scoring(model, settings) as scoring:
        annotation = scoring.of(source)
        regions = annotation.annotator.regions
        with told_already():
            layout, parts = cut(path, source, size, regions)
        for block in annotation.blocks:
            annotation.annotator.judge(block)
            break
    return Plan(
        settings=dataclasses.replace(
            settings,
            output_type=kind,
            write_index=None,
            regions=(),
            regions_file=None,
            force=False,
            threads=None,
            batch_size=None,
        ),
        model=PlannedModel.of(model),
        variants=path,
        is_vcf=source.rows is None,
        layout=layout,
        regions=None if regions is None else tuple(regions.regions),
        aliases=alias_table(),
        extents=tuple(parts),
        identities=identities,
        run=RunRecord(inputs={"model": model.sha256}, parameters=dataclasses.asdict(settings)),
    )


def _with_absolute_paths(settings: AnnotationSettings, model: Model) -> AnnotationSettings:
    choice = settings.transcripts
    if choice.path is not None:
        choice = dataclasses.replace(choice, path=os.path.abspath(choice.path))
    return dataclasses.replace(
        settings,
        fasta=None if settings.fasta is None else os.path.abspath(settings.fasta),
        scores=None if settings.scores is None else os.path.abspath(settings.scores),
        transcripts=choice,
    )


def _identities(path: str, settings: AnnotationSettings, model: Model) -> dict[str, list[int]]:
    """Size and time of every file that partitions read."""
    chosen = dataclasses.replace(settings, regions_file=None, scores=None)
    names = [name for name in (*inputs_of(model, path, chosen), alias_table()) if name is not None]
    identities = {}
    for name in names:
        identity = file_identity(name)
        if identity is None:
            shown = "<stdin>" if name == "-" else name
            raise UsageError(f"{shown}: every part reads it: give a file, not a stream")
        identities[os.path.abspath(name)] = identity
    return identities


def _is_compressed(path: str, source: VariantStream) -> bool:
    if isinstance(source.rows, ParquetRows):
        return True
    with open(path, "rb") as handle:
        return handle.read(2) == b"\x1f\x8b"
