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
#: Share of the columns that is held out where nothing is said.
HELD_OUT_FRACTION = 0.1
#: An upper bound: a virus of 10 kb took 48 epochs, birds of 90 kb 20, until the held-out figure no
#: longer improved.
MOST_EPOCHS = 100.0
#: Evaluations without improvement before the learning rate falls. Twice as many took longer by more
#: than half on a virus, for 0.04 nats a column of 46: docs/training.md.
PATIENCE = 4
#: What of a substitution model is learned with the network.
LEARNED = ("all", "exchangeabilities", "none")
#: In ``data.contig_weights``: contigs that are not named.
ALL_OTHERS = "*"
SCHEDULES = ("plateau", "cosine")
#: What may be maximised; see `phylotools.training.objectives`.
OBJECTIVES = ("phylogenetic", "masked", "both")
#: Share of the columns that is masked where nothing is said.
MASK_FRACTION = 0.15
#: Tables and keys that decide nothing of the model, and with which a run may be resumed otherwise.
HOW = (
    ("data", "workers"),
    ("run", "keep_checkpoints"),
    ("run", "tensorboard"),
    ("run", "recompute_activations"),
)
#: Keys that may change when a run is extended.
LENGTH_KEYS = frozenset({"optimiser.epochs", "optimiser.steps", "run.patience"})


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
    contig_weights : dict of str to float
        How often an epoch takes the windows of a contig: 0.25 a quarter of them, other ones in each
        epoch, 2 all of them twice, 0 none, as if the stores had it not. ``"*"`` stands for all that
        are not named. 1 unless given.
    region_weights_file : str
        A BED file or bedGraph whose fourth column multiplies the weight of columns in the loss; 1
        elsewhere. Columns of weight 0 are not read.
    held_out_fraction : float, optional
        Share of the columns that is drawn with the seed and held out; 0 for none. A tenth unless
        given, or unless the next three say what is held out: then that alone.
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
    clade : list of str
        The species to train on, of each store's tree: an inner node's name, two species (the clade
        of their last common ancestor), or a list of more. The others are left out as if the store
        had them not. All species unless given.
    trees : str or list of str
        A table with the trees of contigs or regions in it, for all stores, or one for each (an
        empty text for none); where it gives none, the store's tree holds.
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
    contig_weights: dict[str, float] = field(default_factory=dict)
    region_weights_file: str = ""
    held_out_fraction: float | None = None
    held_out_contigs: list[str] = field(default_factory=list)
    held_out_regions: list[str] = field(default_factory=list)
    held_out_regions_file: str = ""
    held_out_species: list[str] = field(default_factory=list)
    held_out_species_fraction: float = 0.0
    clade: list[str] = field(default_factory=list)
    trees: str | list[str] = ""
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
    def tables_of_trees(self) -> list[str]:
        """Of each store; empty where it has none."""
        return [self.trees] * len(self.stores) if isinstance(self.trees, str) else self.trees

    @property
    def buffer(self) -> int:
        """Bytes of memory for columns."""
        return DEFAULT_BUFFER if self.buffer_bytes is None else self.buffer_bytes

    @property
    def names_columns(self) -> bool:
        """Whether it says which columns are held out."""
        return bool(self.held_out_contigs or self.held_out_regions or self.held_out_regions_file)

    @property
    def drawn_fraction(self) -> float:
        """Share of the columns to be drawn and held out."""
        if self.held_out_fraction is None:
            return 0.0 if self.names_columns else HELD_OUT_FRACTION
        return self.held_out_fraction

    @property
    def holds_columns(self) -> bool:
        """Whether any columns are held out."""
        return self.names_columns or self.drawn_fraction > 0

    @property
    def holds_species(self) -> bool:
        """Whether any species are held out."""
        return bool(self.held_out_species) or self.held_out_species_fraction > 0


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
    learn : {'all', 'exchangeabilities', 'none'}
        Which of the parameters that all sites share are learned with the network; the others stay
        as given. True and False stand for all and none.
    learning_rate : float
        Of those parameters' logarithms, at the height of the schedule that the network's follows.
    frequency_prior_sd : float, optional
        Standard deviation of a normal prior on the logarithms of the mutation frequencies, about
        the given ones: one prior for all training columns together. None unless given.
    kappa, exchangeabilities, background, mutation_frequencies : optional
        Given or starting values of those that the model has; the background is never learned.
    strand_symmetric : bool, optional
        A substitution and its complement have one rate. True unless given: the network treats the
        two strands alike, and in a nuclear genome the strand that is written down is arbitrary.
        False suits a genome whose strands differ and that is always read from one, as chrM.
    """

    model: str = "mutation-selection"
    learn: str | bool = "exchangeabilities"
    learning_rate: float = 0.02
    frequency_prior_sd: float | None = None
    kappa: float | None = None
    exchangeabilities: list[float] | None = None
    background: list[float] | None = None
    mutation_frequencies: list[float] | None = None
    strand_symmetric: bool | None = None

    def settings(self) -> dict[str, Any]:
        """What is given of the model's own settings."""
        values = dataclasses.asdict(self)
        own = ("model", "learn", "learning_rate", "frequency_prior_sd")
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
class ObjectiveConfig:
    """The table ``objective``: what is maximised; see the method page.

    Attributes
    ----------
    kind : {'phylogenetic', 'masked', 'both'}
        The other species of each column given the base that is read; masked language modelling,
        the bases of the sequence alone; or both in one pass.
    mask_fraction : float, optional
        Share of each window's columns whose base is hidden. `MASK_FRACTION` unless given.
    masked_weight : float, optional
        Of both: what a masked base counts, in columns. 1 unless given.
    """

    kind: str = "phylogenetic"
    mask_fraction: float | None = None
    masked_weight: float | None = None

    @property
    def fraction(self) -> float:
        """Share of each window's columns whose base is hidden."""
        return MASK_FRACTION if self.mask_fraction is None else self.mask_fraction

    @property
    def weight(self) -> float:
        """Of both: what a masked base counts."""
        return 1.0 if self.masked_weight is None else self.masked_weight


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW with warm-up, a falling learning rate and clipped gradients.

    Attributes
    ----------
    epochs : float, optional
        Passes over the training columns, at most. `MOST_EPOCHS` unless given.
    steps : int, optional
        Steps at most, instead of epochs.
    windows_per_batch, window_length : int
        Windows in a step, and predicted positions in each.
    learning_rate, weight_decay : float
    schedule : {'plateau', 'cosine'}, optional
        Constant until the figure of ``run.select_by`` has not improved for ``run.patience``
        evaluations, then lower and from the best weights on; or half a cosine over the whole
        length. A plateau unless the last weights are selected.
    warmup_steps : int
    final_fraction : float
        Of the learning rate, at the end: a cosine reaches it at the last step, and where a plateau
        would fall below it, training stops.
    gradient_clip : float
        Largest norm of the gradient.
    parts : int, optional
        Equal parts of a batch, whose gradients are computed apart and summed in order: by one
        process, or shared out over as many workers at most. As many as there are workers when a run
        begins, unless given.
    average : float
        Share of an exponential moving average of the weights that stays at each step; evaluated and
        kept are then the averages. 0 for none.
    precision : {'float32', 'bfloat16'}
        Of the products in the network. Weights and the likelihood are float32.
    """

    epochs: float | None = None
    steps: int | None = None
    windows_per_batch: int = 8
    window_length: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    schedule: str | None = None
    warmup_steps: int = 50
    final_fraction: float = 0.01
    gradient_clip: float = 1.0
    parts: int | None = None
    average: float = 0.0
    precision: str = "float32"

    def length(self, steps_per_epoch: int) -> int:
        """Steps of the whole run, at most."""
        if self.steps is not None:
            return self.steps
        epochs = MOST_EPOCHS if self.epochs is None else self.epochs
        return max(1, round(epochs * steps_per_epoch))


@dataclass(frozen=True)
class RunConfig:
    """The table ``run``: seed, logging, evaluation, checkpoints.

    Attributes
    ----------
    seed : int
    log_every, checkpoint_every : int
        Steps.
    evaluate_every : int, optional
        Steps; unless given, from the size of an epoch (see `evaluation.steps_between`).
    evaluation_columns : int
        At most so many columns are scored at an evaluation.
    select_by : {'held_out_columns', 'held_out_species', 'last'}, optional
        Which weights become the model: those of the best evaluation, or of the last step. By
        held-out columns unless none are held out.
    patience : int, optional
        Evaluations without improvement before the learning rate falls (plateau) or training stops
        (cosine); 0 for no end of it. `PATIENCE` for a plateau, 0 for a cosine.
    init_from : str
        Model folder, name of a model, or checkpoint whose weights training starts from.
    site_fits : bool
        When training has ended, fit theta to the training columns under a prior about the
        network's, for the model to score them by; see `phylotools.model.site_fits`.
    keep_checkpoints : int
        So many checkpoints before the newest stay in the run's folder.
    tensorboard : bool
        Write the figures for TensorBoard as well.
    recompute_activations : bool
        Compute the network's blocks once more for the gradient, instead of keeping what is in them.
    compile : bool
        Have torch compile the network.
    """

    seed: int = 1
    log_every: int = 10
    evaluate_every: int | None = None
    checkpoint_every: int = 250
    evaluation_columns: int = 20_000
    select_by: str | None = None
    patience: int | None = None
    init_from: str = ""
    site_fits: bool = True
    keep_checkpoints: int = 0
    tensorboard: bool = False
    recompute_activations: bool = False
    compile: bool = False


@dataclass(frozen=True)
class TrainingConfig:
    """The whole file.

    Attributes
    ----------
    data, network, objective, substitution, rate, optimiser, run
        One table each.
    folder : Path
        Where relative paths start.
    """

    data: DataConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    substitution: SubstitutionConfig = field(default_factory=SubstitutionConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: RunConfig = field(default_factory=RunConfig)
    folder: Path = Path(".")

    def to_dict(self) -> dict[str, Any]:
        """Tables of plain values: what is trained, whoever does it.

        Left out are the ``None`` that TOML cannot hold, the folder, the keys of `HOW`, and the
        objective that there was before others.
        """
        tables = dataclasses.asdict(self)
        del tables["folder"]
        for table, key in HOW:
            del tables[table][key]
        if self.objective == ObjectiveConfig():
            del tables["objective"]
        return {
            name: {key: value for key, value in table.items() if value is not None}
            for name, table in tables.items()
        }

    def with_parts(self, parts: int) -> TrainingConfig:
        """The same with so many parts of a batch."""
        return dataclasses.replace(self, optimiser=dataclasses.replace(self.optimiser, parts=parts))

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
            self.model_spec(),
            self.substitution.model,
            self.substitution.settings(),
            rate,
            masks_site=self.objective.kind == "masked",
        )

    def with_defaults(self) -> TrainingConfig:
        """Fill in the defaults that depend on other keys; the substitution model must exist.

        What depends on the stores stays open: steps between evaluations.
        """
        data = dataclasses.replace(self.data, held_out_fraction=self.data.drawn_fraction)
        run, optimiser = self.run, self.optimiser
        if run.select_by is None:
            run = dataclasses.replace(
                run, select_by="held_out_columns" if data.holds_columns else "last"
            )
        if optimiser.schedule is None:
            optimiser = dataclasses.replace(
                optimiser, schedule="cosine" if run.select_by == "last" else "plateau"
            )
        if run.patience is None:
            patience = PATIENCE if optimiser.schedule == "plateau" else 0
            run = dataclasses.replace(run, patience=patience)
        if optimiser.steps is None and optimiser.epochs is None:
            optimiser = dataclasses.replace(optimiser, epochs=MOST_EPOCHS)
        return dataclasses.replace(
            self,
            data=data,
            substitution=self._whole_substitution(),
            rate=self._whole_rate(),
            optimiser=optimiser,
            run=run,
        )

    def _whole_substitution(self) -> SubstitutionConfig:
        substitution = self.substitution
        if isinstance(substitution.learn, bool):
            learn = "all" if substitution.learn else "none"
            substitution = dataclasses.replace(substitution, learn=learn)
        has_strands = "strand_symmetric" in parameters_of(substitution.model)
        if substitution.strand_symmetric is None and has_strands:
            substitution = dataclasses.replace(substitution, strand_symmetric=True)
        return substitution

    def _whole_rate(self) -> RateConfig:
        rate, model = self.rate, SUBSTITUTION_MODELS[self.substitution.model]
        is_fitted = rate.learn and rate.treatment == "prior"
        if rate.mean is None and rate.treatment != "free" and not is_fitted:
            rate = dataclasses.replace(rate, mean=model.neutral_log_rate)
        if rate.sd is None and rate.treatment == "prior" and not is_fitted:
            rate = dataclasses.replace(rate, sd=1.0)
        return rate

    def store_paths(self) -> list[Path]:
        return [self.folder / store for store in self.data.stores]


def changed_keys(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """``table.key`` of every value that differs between two results of `to_dict`.

    A key that one of them lacks has its default: an older version did not know it.
    """
    defaults = TrainingConfig(DataConfig([])).to_dict()

    def value(config: dict[str, Any], table: str, key: str) -> Any:
        default = defaults.get(table, {}).get(key)
        return config.get(table, {}).get(key, default)

    return sorted(
        f"{table}.{key}"
        for table in before.keys() | after.keys()
        for key in before.get(table, {}).keys() | after.get(table, {}).keys()
        if value(before, table, key) != value(after, table, key)
    )
