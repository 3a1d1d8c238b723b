"""From a finished run to a model folder."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phylotools.drawing import picture_style, save_picture
from phylotools.errors import InputError, PhylotoolsError, UsageError
from phylotools.io.bed import read_bed
from phylotools.io.files import read_small_text
from phylotools.io.genome import ReferenceGenome
from phylotools.io.spliced import SplicedGenome, packed, spliced_genome
from phylotools.io.transcripts import CODING
from phylotools.model.folder import SITE_FITS, TRAINING_REGIONS, ModelDraft, write_model
from phylotools.model.site_fits import MOST_SITES
from phylotools.store.read import open_store
from phylotools.store.reference_genome import reference_genome_of
from phylotools.training.card import plain_card
from phylotools.training.checkpoint import Checkpoint, read_checkpoint
from phylotools.training.curves import LearningCurves, read_curves
from phylotools.training.curves_drawing import draw_learning_curves
from phylotools.training.keeping import read_newest
from phylotools.training.run_folder import CHECKPOINT, METRICS, has_run
from phylotools.version import __version__

logger = logging.getLogger("phylotools")


@dataclass(frozen=True)
class ExportRequest:
    """Facts and files of a model that its run does not know.

    Attributes
    ----------
    name, revision, assembly, licence : str
    card : Path or None
        Markdown; a short card is written from the run if there is none. Either may show
        ``training.svg``, the run's learning curves.
    reference : Path or None
        FASTA to ship with the model, so that annotating needs no option. With transcripts it is
        what they lie on, or a column store, or their own sequences; and is not shipped.
    training_regions : Path or None
        BED of the columns that the model is meant for; by default that of its training columns,
        which the run's folder holds.
    site_fits : bool
        Bring the theta of the training columns that the run's folder holds.
    metrics : Path or None
        JSON of measured results for the manifest.
    transcripts : Path or None
        GFF3 or GTF of transcripts that the model is to carry, with their joined sequences: these
        are then what it scores in.
    transcript_part : str
        As for `read_transcripts`.
    genetic_code : int or None
        As for `check_reading_frames`.
    """

    name: str
    revision: str = "1"
    assembly: str = ""
    licence: str = ""
    card: Path | None = None
    reference: Path | None = None
    training_regions: Path | None = None
    site_fits: bool = True
    metrics: Path | None = None
    transcripts: Path | None = None
    transcript_part: str = CODING
    genetic_code: int | None = None


def export_model(
    source: Path, target: Path, request: ExportRequest, *, force: bool = False
) -> None:
    """Write a model folder from a run folder or a checkpoint.

    Parameters
    ----------
    source : Path
        A run's folder, which must be complete, or one checkpoint file, at whatever step.
    target : Path
    request : ExportRequest
    force : bool

    Raises
    ------
    InputError
        If the run is not complete, or transcripts do not belong to their sequence.
    UsageError
        If transcripts have no sequence.
    """
    path = source / CHECKPOINT if source.is_dir() else source
    if not (has_run(source) if source.is_dir() else path.is_file()):
        raise InputError("there is no run here", path=source, remedy=f"a run holds {CHECKPOINT}")
    checkpoint = read_newest(source) if source.is_dir() else read_checkpoint(source)
    if source.is_dir() and not checkpoint.progress.complete:
        raise InputError(
            f"the run has done {checkpoint.progress.step} steps and is not complete",
            path=source,
            remedy=f"go on with 'phylotools train --resume', or export {path} as it is",
        )
    contigs = checkpoint.facts.get("contigs", [])
    carried: dict[str, Any] = {}
    transcripts = None
    if request.transcripts is not None:
        spliced = _spliced(request)
        transcripts = packed(spliced)
        placed = spliced.transcripts
        contigs = sorted(set(placed.contigs))
        carried = {
            "transcripts": {
                "number": len(placed), "part": placed.part, "bases": int(placed.lengths.sum()),
            }
        }  # fmt: skip
    elif request.reference is not None:
        with ReferenceGenome.open(request.reference) as genome:
            contigs = list(genome.contigs)
    fits = path.parent / SITE_FITS
    brings_fits = request.site_fits and fits.is_file()
    objective = checkpoint.config.get("objective")
    facts: dict[str, Any] = {
        "assembly": request.assembly,
        "licence": request.licence,
        **checkpoint.facts,
        "contigs": contigs,
        **carried,
        **({} if objective is None else {"objective": objective}),
        "steps": checkpoint.progress.step,
        "selected_step": checkpoint.progress.selected_step,
        "stopped": checkpoint.progress.stopped,
        "held_out_columns": checkpoint.progress.held_out_figures,
        "warnings": list(checkpoint.progress.warnings.values()),
        "site_fits": brings_fits,
        "metrics": _read_metrics(request.metrics),
    }
    curves, picture = _learning_curves(path.parent)
    card = (
        read_small_text(request.card) if request.card else plain_card(request.name, facts, curves)
    )
    regions = request.training_regions
    if regions is None and (path.parent / TRAINING_REGIONS).is_file():
        regions = path.parent / TRAINING_REGIONS
    if regions is not None:
        # A model with a damaged BED could not be loaded.
        found = read_bed(regions)
        logger.info(
            "sites outside %d regions (%d positions on %d contigs) will be outside_training",
            len(found), found.n_positions, len(found.contigs),
        )  # fmt: skip
    if source.is_dir() and request.site_fits and _makes_fits(checkpoint) and not brings_fits:
        # They come last, minutes after the checkpoint says complete.
        logger.warning(
            "%s: no %s, so the model scores its training columns by sequence alone; if training "
            "has not ended, export again when it has; 'phylotools train --resume' makes them "
            "after a kill",
            path.parent, SITE_FITS,
        )  # fmt: skip
    write_model(
        ModelDraft(
            name=request.name,
            revision=request.revision,
            site_model=checkpoint.selected_model(path),
            training=checkpoint.config,
            facts=facts,
            card=card,
            picture=picture,
            reference=request.reference if request.transcripts is None else None,
            transcripts=transcripts,
            training_regions=regions,
            site_fits=fits if brings_fits else None,
        ),
        target,
        force=force,
    )


def _spliced(request: ExportRequest) -> SplicedGenome:
    """The transcripts that a model is to carry, all of them checked."""
    if request.reference is None:
        raise UsageError(
            "--transcripts: give the sequence that they lie on with --fasta, a FASTA or a column "
            "store"
        )
    genome = (
        reference_genome_of(open_store(request.reference))
        if request.reference.is_dir()
        else ReferenceGenome.open(request.reference)
    )
    return spliced_genome(
        genome,
        str(request.transcripts),
        request.transcript_part,
        genetic_code=request.genetic_code,
        sample=None,
    )


def _makes_fits(checkpoint: Checkpoint) -> bool:
    """Whether the run fits its training columns at its end: see `write_site_fits`."""
    stores = checkpoint.facts["training_stores"]
    n_columns = sum(store["training_columns"] for store in stores)
    references = {store["reference_species"] for store in stores}
    is_wanted = bool(checkpoint.config.get("run", {}).get("site_fits", False))
    return is_wanted and n_columns <= MOST_SITES and len(references) == 1


def _read_metrics(path: Path | None) -> Any:
    if path is None:
        return {}
    try:
        return json.loads(read_small_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"no readable JSON ({error})", path=path) from None


def _learning_curves(folder: Path) -> tuple[LearningCurves | None, bytes | None]:
    """The learning curves of a run and their picture, SVG; a model can be had without them."""
    if not (folder / METRICS).exists():
        return None, None
    picture = io.BytesIO()
    try:
        curves = read_curves(folder)
        with picture_style():
            figure = draw_learning_curves([curves], f"phylotools {__version__}")
            save_picture(figure, picture, "svg")
    except PhylotoolsError as error:
        logger.warning("%s; the model gets no learning curves", error)
        return None, None
    return curves, picture.getvalue()
