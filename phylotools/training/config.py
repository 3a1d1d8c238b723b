"""The training configuration: TOML says what, flags say how."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phylotools.model.presets import PRESETS, ModelSpec
from phylotools.model.site_model import RateAssumption, SiteModelSpec
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS
from phylotools.phylogeny.substitution.catalogue import parameters_of

#: Bytes of columns that are held in memory.
DEFAULT_BUFFER = 2 << 30


@dataclass(frozen=True)
class DataConfig:
    """The table ``data``: stores, and what is held out of them.

    Attributes
    ----------
    stores : list of str
        Column stores; relative paths start at the configuration file's folder.
    store_weights : list of float
        Of each store: the share of its windows that an epoch takes, other ones in each. All of
        them unless given.
    held_out_contigs : list of str
        Never trained on, scored at every evaluation.
    held_out_regions : list of str
        ``contig:begin-end``, likewise.
    held_out_regions_file : str
        A BED file of such regions.
    held_out_species : list of str
        Missing data in the loss; their prediction at the training columns is the figure by which
        a model that scores its own training genome is selected.
    held_out_species_fraction : float
        Share of the other species to hold out as well, drawn with the seed; never the reference.
    minimum_species : int
        A column with fewer species (reference included) is not trained on.
    minimum_branch_length : float
        Shorter branches are lengthened to this, since species that differ at branches of length
        zero would have probability zero. The default is IQ-TREE's.
    soft_mask_weight : float
        Weight of lower-case (repeat) reference positions in the loss.
    any_row_weight : float
        Probability that a training window is read through another species of the alignment than
        the reference, drawn among those with bases in half of the window's columns.
    any_row_until : float
        Share of the run after which the reference alone is read.
    buffer_bytes : int, optional
        Memory for columns. Training columns that fit are held in it and shuffled as one; of more,
        half is shuffled while the other half is read. `DEFAULT_BUFFER` unless given.
    workers : int, optional
        Processes that read the stores; threads unless given, or 0. No result depends on it.
    """

    stores: list[str]
    store_weights: list[float] = field(default_factory=list)
    held_out_contigs: list[str] = field(default_factory=list)
    held_out_regions: list[str] = field(default_factory=list)
    held_out_regions_file: str = ""
    held_out_species: list[str] = field(default_factory=list)
    held_out_species_fraction: float = 0.0
    minimum_species: int = 2
    minimum_branch_length: float = 1e-6
    soft_mask_weight: float = 1.0
    any_row_weight: float = 0.0
    any_row_until: float = 1.0
    buffer_bytes: int | None = None
    workers: int | None = None

    @property
    def weights(self) -> list[float]:
        """Of each store."""
        return self.store_weights or [1.0] * len(self.stores)

    @property
    def buffer(self) -> int:
        """Bytes of memory for columns."""
        return DEFAULT_BUFFER if self.buffer_bytes is None else self.buffer_bytes


@dataclass(frozen=True)
class NetworkConfig:
    """A preset, of which single entries may be changed; see `ModelSpec`."""

    preset: str = "small"
    channels: int | None = None
    bottleneck: int | None = None
    kernel_size: int | None = None
    dilations: list[int] | None = None


@dataclass(frozen=True)
class SubstitutionConfig:
    """The substitution model; see the method page.

    Attributes
    ----------
    model : {'f81', 'hky', 'gtr', 'mutation-selection'}
    learn : bool
        Learn the parameters that all sites share with the network; else keep them as given.
    learning_rate : float
        Of those parameters' logarithms, at the height of the schedule that the network's follows.
    kappa, exchangeabilities, background, mutation_frequencies : optional
        Given or starting values of those that the model has; the background is never learned.
    strand_symmetric : bool, optional
        A substitution and its complement have one rate. True unless given: the network treats the
        two strands alike, and in a nuclear genome the strand that is written down is arbitrary.
        False suits a genome whose strands differ and that is always read from one, as chrM.
    """

    model: str = "mutation-selection"
    learn: bool = True
    learning_rate: float = 0.02
    kappa: float | None = None
    exchangeabilities: list[float] | None = None
    background: list[float] | None = None
    mutation_frequencies: list[float] | None = None
    strand_symmetric: bool | None = None

    def settings(self) -> dict[str, Any]:
        """What is given of the model's own settings."""
        values = dataclasses.asdict(self)
        own = ("model", "learn", "learning_rate")
        return {k: v for k, v in values.items() if k not in own and v is not None}


@dataclass(frozen=True)
class RateConfig:
    """The table ``rate``: what is assumed of each site's log R; see the method page.

    Attributes
    ----------
    treatment : {'prior', 'free', 'fixed'}
        A prior by default under every model: also under mutation-selection, one rate for all sites
        predicted held-out species worse (see the method page).
    mean, sd : float, optional
        Of the normal prior on log R; ``fixed`` uses the mean alone. The mean is the substitution
        model's neutral log rate unless given, the standard deviation 1.
    learn : bool
        Of a prior: fit mean and sd to the training columns, before training. Of a fixed rate: learn
        it with the network, from the mean on.
    """

    treatment: str = "prior"
    mean: float | None = None
    sd: float | None = None
    learn: bool = False

    def assumption(self) -> RateAssumption | None:
        """The rate's treatment, of a configuration whose defaults are filled in.

        None where the prior is yet to be fitted.
        """
        if self.learn and self.treatment == "prior":
            return None
        mean, sd = {"free": (None, None), "fixed": (self.mean, None)}.get(
            self.treatment, (self.mean, self.sd)
        )
        return RateAssumption(self.treatment, mean, sd)


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with warm-up, a falling cosine and clipped gradients.

    Attributes
    ----------
    steps : int
    windows_per_batch, window_length : int
        Windows in a step, and predicted positions in each.
    learning_rate, weight_decay : float
    warmup_steps : int
    final_fraction : float
        Of the learning rate, at the last step. A larger one stops before the network fits the
        chance of each column.
    gradient_clip : float
        Largest norm of the gradient.
    """

    steps: int = 3000
    windows_per_batch: int = 8
    window_length: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    final_fraction: float = 0.01
    gradient_clip: float = 1.0


@dataclass(frozen=True)
class RunConfig:
    """The table ``run``: seed, logging, evaluation, checkpoints.

    Attributes
    ----------
    seed : int
    log_every, evaluate_every, checkpoint_every : int
        Steps.
    evaluation_columns : int
        At most so many columns are scored at an evaluation.
    select_by : {'last', 'held_out_species', 'held_out_columns'}
        Which weights become the model: those of the last step, or of the best evaluation.
    """

    seed: int = 1
    log_every: int = 10
    evaluate_every: int = 250
    checkpoint_every: int = 250
    evaluation_columns: int = 20_000
    select_by: str = "last"


@dataclass(frozen=True)
class TrainingConfig:
    """The whole file.

    Attributes
    ----------
    data, network, substitution, rate, optimiser, run
        One table each.
    folder : Path
        Where relative paths start.
    """

    data: DataConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    substitution: SubstitutionConfig = field(default_factory=SubstitutionConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)
    folder: Path = Path(".")

    def to_dict(self) -> dict[str, Any]:
        """Tables of plain values: what is trained, whoever does it.

        Left out are the ``None`` that TOML cannot hold, the folder, and ``data.workers``, with
        which a run may be resumed in another number.
        """
        tables = dataclasses.asdict(self)
        del tables["folder"], tables["data"]["workers"]
        return {
            name: {key: value for key, value in table.items() if value is not None}
            for name, table in tables.items()
        }

    def model_spec(self) -> ModelSpec:
        """The network's shape: its preset with the given changes."""
        changes: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in dataclasses.asdict(self.network).items()
            if value is not None and key != "preset"
        }
        return dataclasses.replace(PRESETS[self.network.preset], **changes)

    def site_model_spec(self) -> SiteModelSpec:
        """Network, substitution model and rate; the rate is free while yet to be fitted."""
        rate = self.rate.assumption() or RateAssumption("free")
        return SiteModelSpec(
            self.model_spec(), self.substitution.model, self.substitution.settings(), rate
        )

    def with_defaults(self) -> TrainingConfig:
        """Fill in the defaults that depend on the substitution model, which must exist."""
        substitution, rate = self.substitution, self.rate
        model = SUBSTITUTION_MODELS[substitution.model]
        if substitution.strand_symmetric is None and "strand_symmetric" in parameters_of(
            model.name
        ):
            substitution = dataclasses.replace(substitution, strand_symmetric=True)
        is_fitted = rate.learn and rate.treatment == "prior"
        if rate.mean is None and rate.treatment != "free" and not is_fitted:
            rate = dataclasses.replace(rate, mean=model.neutral_log_rate)
        if rate.sd is None and rate.treatment == "prior" and not is_fitted:
            rate = dataclasses.replace(rate, sd=1.0)
        return dataclasses.replace(self, substitution=substitution, rate=rate)

    def store_paths(self) -> list[Path]:
        return [self.folder / store for store in self.data.stores]
