"""Plan of a job of making tracks: model, reference, and regions cut into partitions, as JSON."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.io.bigwig.encoding import BLOCK_VALUES
from phylotools.io.bigwig.writer import LONGEST_CONTIG
from phylotools.io.genome import UNKNOWN_LENGTH
from phylotools.io.regions import Region, RegionSet, choose_regions, cut_regions
from phylotools.io.spliced import PartialGenome, SplicedGenome
from phylotools.jobs.job import Job, file_identity, input_checksum
from phylotools.model.planned import PlannedModel
from phylotools.phylogeny.score_meaning import CALIBRATED, known_score, written_scores
from phylotools.provenance import RunRecord
from phylotools.scoring.context import TranscriptChoice, open_context
from phylotools.scoring.tiled_network import TILE_LENGTH
from phylotools.tracks.catalogue import (
    ALL_TRACK_NAMES,
    TRACK_NAMES,
    scores_of_tracks,
    tracks_of_scores,
)

if TYPE_CHECKING:
    from phylotools.model.registry import Model

#: Little is lost with one, and a human genome makes no more than a file system bears.
PARTITION_POSITIONS = 1 << 20
#: Tiles whose numbers are compressed together: those of one block of a bigWig.
UNIT_TILES = BLOCK_VALUES // TILE_LENGTH


@dataclass(frozen=True)
class TrackSettings:
    """Options of `phylotools tracks` that decide what is computed.

    Attributes
    ----------
    tracks : tuple of str or None
        Some of `ALL_TRACK_NAMES`; None for those of every model and of the scores written.
    snv_table : bool
        Whether the table of all single-nucleotide variants is made.
    trained_only : bool
        Leave out positions that the model was not trained on.
    regions : tuple of str
        ``contig`` or ``contig:begin-end``; with neither these nor a file, the whole genome.
    regions_file : str or None
        BED.
    precision : str
        As for `Scorer`.
    scores : tuple of str
        Scores beside the LLR and the model's default one; in a plan all that are written.
    transcripts : TranscriptChoice
        Whether positions are scored in transcripts, and in which.
    """

    tracks: tuple[str, ...] | None = None
    snv_table: bool = True
    trained_only: bool = False
    regions: tuple[str, ...] = ()
    regions_file: str | None = None
    precision: str = "auto"
    scores: tuple[str, ...] = ()
    transcripts: TranscriptChoice = dataclasses.field(default_factory=TranscriptChoice)

    def __post_init__(self) -> None:
        unknown = [name for name in self.tracks or () if name not in ALL_TRACK_NAMES]
        if unknown:
            raise UsageError(
                f"there is no track {unknown[0]!r}; there are {', '.join(ALL_TRACK_NAMES)}"
            )
        if self.tracks == () and not self.snv_table:
            raise UsageError("neither a track nor the table is asked for")
        for name in self.scores:
            known_score(name)

    def of_model(self, substitution: str) -> TrackSettings:
        """The settings with all that the substitution model decides filled in."""
        named = scores_of_tracks(self.tracks or ())
        scores = written_scores(substitution, (*self.scores, *named))
        tracks = self.tracks
        if tracks is None:
            tracks = (*TRACK_NAMES, *tracks_of_scores(scores))
        return dataclasses.replace(self, tracks=tracks, scores=scores)


@dataclass(frozen=True, kw_only=True)
class Plan(Job):
    """The job of making tracks; each partition is a tuple of regions, sorted.

    Attributes
    ----------
    settings : TrackSettings
    substitution : str
        Name of the model's substitution model.
    model : PlannedModel
    fasta : str
    assembly : str
        What browsers call the reference, unless told otherwise.
    contigs : dict of str to int
        All of the reference, sorted by name.
    trained : tuple of Region or None
        What the model was trained on, if it says so, sorted.
    transcripts : str or None
        GFF3 or GTF of the transcripts that positions are scored in.
    is_partial : bool
        Whether the FASTA holds the sequences of transcripts alone, not those of the contigs.
    """

    verb: ClassVar[str] = "tracks"
    version: ClassVar[int] = 6
    settings: TrackSettings
    substitution: str
    model: PlannedModel
    fasta: str
    assembly: str
    contigs: dict[str, int]
    trained: tuple[Region, ...] | None
    transcripts: str | None
    is_partial: bool
    extents: tuple[tuple[Region, ...], ...]

    @property
    def regions(self) -> RegionSet:
        """All regions of the plan."""
        return RegionSet.of(region for part in self.extents for region in part)

    @property
    def trained_regions(self) -> RegionSet | None:
        """Regions that the model was trained on, if it says so."""
        return None if self.trained is None else RegionSet.of(self.trained)

    @property
    def n_positions(self) -> int:
        return sum(len(region) for part in self.extents for region in part)

    def recut(self, partition_positions: int) -> Plan:
        """The same job in partitions of another size."""
        return dataclasses.replace(self, extents=_cut(self.regions, partition_positions))

    def output(self) -> tuple[Any, ...]:
        return self.settings, self.model, self.fasta, self.identities, self.regions

    def check_plan(self) -> None:
        for region in (region for part in self.extents for region in part):
            if not 0 <= region.start < region.end <= self.contigs[region.contig]:
                raise ValueError(region)


def make_plan(
    model: Model,
    fasta: str | None,
    settings: TrackSettings,
    *,
    partition_positions: int = PARTITION_POSITIONS,
) -> Plan:
    """Plan a job: check what can be checked at once, and cut the regions.

    Parameters
    ----------
    model : Model
    fasta : str, optional
        Reference; by default the model's own.
    settings : TrackSettings
    partition_positions : int
        Positions of a partition, rounded up to whole units (`unit_starts`).

    Raises
    ------
    InputError, UsageError
    """
    substitution = model.mutation_process.substitution
    settings = settings.of_model(substitution)
    if CALIBRATED in settings.scores:
        _ = model.calibration  # There must be one.
    choice = settings.transcripts
    path = fasta if fasta == "-" else os.path.abspath(choice.reference(model, fasta))
    identity = file_identity(path)
    if identity is None:
        raise UsageError(f"{path}: the reference is read more than once: give a regular file")
    identities = {path: identity}
    transcripts = choice.file(model)
    if transcripts is not None:
        transcripts = os.path.abspath(transcripts)
        identities[transcripts] = _identity_of_transcripts(transcripts)
    with open_context(model, path, choice) as context:
        genome = context.genome if isinstance(context, SplicedGenome) else context
        contigs = {name: genome.contigs[name] for name in sorted(genome.contigs)}
        in_genome, in_exons = model.training_regions, None
        if isinstance(context, SplicedGenome):
            in_exons = context.transcripts.regions
            if in_genome is not None:
                in_genome |= context.transcripts.in_genome(in_genome)
    _check_contigs(contigs, path)
    trained = _trained_regions(in_genome, contigs)
    chosen = choose_regions(settings.regions, settings.regions_file, contigs, path=path)
    regions = chosen or RegionSet.whole(contigs)
    if in_exons is not None:
        regions = _in_transcripts(regions, in_exons, transcripts)
    if settings.trained_only:
        regions = _trained_only(regions, trained, model)
    return Plan(
        settings=_with_absolute_paths(settings),
        substitution=substitution,
        model=PlannedModel.of(model),
        fasta=path,
        assembly=model.assembly_of(fasta),
        contigs=contigs,
        trained=None if trained is None else tuple(trained),
        transcripts=transcripts,
        is_partial=isinstance(genome, PartialGenome),
        extents=_cut(regions, partition_positions),
        identities=identities,
        run=RunRecord(
            inputs={"model": model.sha256, "reference": input_checksum(path)},
            parameters=dataclasses.asdict(settings),
        ),
    )


def _with_absolute_paths(settings: TrackSettings) -> TrackSettings:
    bed, choice = settings.regions_file, settings.transcripts
    if bed is not None and bed != "-":
        settings = dataclasses.replace(settings, regions_file=os.path.abspath(bed))
    if choice.path is not None:
        choice = dataclasses.replace(choice, path=os.path.abspath(choice.path))
    return dataclasses.replace(settings, transcripts=choice)


def _identity_of_transcripts(path: str) -> list[int]:
    identity = file_identity(path)
    if identity is None:
        raise UsageError(f"{path}: transcripts are read more than once: give a regular file")
    return identity


def _in_transcripts(regions: RegionSet, exons: RegionSet, path: str | None) -> RegionSet:
    shared = regions & exons
    if not shared:
        raise InputError(
            "none of the regions lies in a transcript",
            path=path,
            remedy="give others, or --no-transcripts",
        )
    return shared


def _check_contigs(contigs: dict[str, int], path: str) -> None:
    for name, length in contigs.items():
        if length == UNKNOWN_LENGTH:
            raise InputError(
                f"does not say how long contig {name} is, as a bigWig must",
                path=path,
                remedy="give the assembly with --fasta",
            )
        if length > LONGEST_CONTIG:
            raise InputError(
                f"contig {name} has {length} bases; a bigWig holds contigs of at most "
                f"{LONGEST_CONTIG}",
                path=path,
                remedy="cut the contig",
            )


def _trained_regions(trained: RegionSet | None, contigs: dict[str, int]) -> RegionSet | None:
    """Training regions by the names of the reference's contigs."""
    if trained is None:
        return None
    return trained.spelled_as(contigs) & RegionSet.whole(contigs)


def _trained_only(regions: RegionSet, trained: RegionSet | None, model: Model) -> RegionSet:
    if trained is None:
        raise UsageError(f"--trained-only: model {model.name} does not say what it was trained on")
    shared = regions & trained
    if not shared:
        raise InputError(
            f"none of the regions is one that model {model.name} was trained on",
            remedy="leave out --trained-only",
        )
    return shared


def _cut(regions: RegionSet, partition_positions: int) -> tuple[tuple[Region, ...], ...]:
    """Partitions of so many positions, rounded up to whole units."""
    n_units = max(1, -(-partition_positions // (UNIT_TILES * TILE_LENGTH)))
    return tuple(map(tuple, cut_regions(regions, TILE_LENGTH, n_units * UNIT_TILES)))


def unit_starts(regions: Sequence[Region]) -> dict[str, NDArray[np.int64]]:
    """Where units begin in the regions of a partition, by contig.

    A unit is `UNIT_TILES` tiles, counted from the first of a job's regions. Partitions are whole
    units, and what is compressed together lies in one unit: so that the bytes of an output depend
    on its regions, not on how they were cut into partitions.
    """
    starts: dict[str, list[int]] = {}
    for unit in cut_regions(regions, TILE_LENGTH, UNIT_TILES):
        for contig, parts in itertools.groupby(unit, key=lambda region: region.contig):
            starts.setdefault(contig, []).append(next(parts).start)
    return {contig: np.array(places, dtype=np.int64) for contig, places in starts.items()}
