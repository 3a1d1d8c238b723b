from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from phylotools.errors import InputError
from phylotools.model.presets import PRESETS
from phylotools.model.site_model import RateAssumption
from phylotools.phylogeny.substitution import NEUTRAL_LOG_RATE
from phylotools.training.config import MOST_EPOCHS, PATIENCE, TrainingConfig, changed_keys
from phylotools.training.config_file import parse_config, read_config


@pytest.fixture
def write(tmp_path: Path):
    (tmp_path / "x.store").mkdir()

    def make(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return make


MINIMAL = '[data]\nstores = ["x.store"]\n'


def test_defaults(write):
    config = read_config(write(MINIMAL))
    assert config.network.preset == "small"
    assert config.model_spec() == PRESETS["small"]
    assert config.substitution.model == "mutation-selection"
    assert config.substitution.strand_symmetric is True
    assert (config.rate.treatment, config.rate.mean, config.rate.sd) == ("prior", 0.0, 1.0)
    assert (config.optimiser.steps, config.optimiser.epochs) == (None, MOST_EPOCHS)
    assert config.data.held_out_fraction == 0.1
    assert config.run.select_by == "held_out_columns"
    assert (config.optimiser.schedule, config.run.patience) == ("plateau", PATIENCE)
    assert config.substitution.learn == "exchangeabilities"
    assert config.store_paths() == [config.folder / "x.store"]


def test_a_file_that_windows_saved(write):
    path = write("")
    text = MINIMAL + '[network]\npreset = "tiny"\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_config(path).network.preset == "tiny"


def test_relative_paths_start_at_the_file(write, monkeypatch):
    path = write(MINIMAL)
    monkeypatch.chdir("/")
    assert read_config(path).store_paths()[0].is_dir()


def test_presets_may_be_changed(write):
    config = read_config(
        write(MINIMAL + '[network]\npreset = "tiny"\nchannels = 8\ndilations = [1, 2]\n')
    )
    spec = config.model_spec()
    assert (spec.channels, spec.bottleneck, spec.dilations) == (8, 16, (1, 2))


def test_fixed_rate_reaches_the_network(write):
    config = read_config(write(MINIMAL + '[rate]\ntreatment = "fixed"\nmean = 0\n'))
    rate = config.site_model_spec().rate
    assert rate == RateAssumption("fixed", 0.0)
    assert isinstance(rate.mean, float)


def substitution(text: str) -> str:
    return MINIMAL + "[substitution]\n" + text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (MINIMAL, RateAssumption("prior", 0.0, 1.0)),
        (substitution('model = "f81"'), RateAssumption("prior", NEUTRAL_LOG_RATE, 1.0)),
        (substitution('model = "gtr"'), RateAssumption("prior", NEUTRAL_LOG_RATE, 1.0)),
        (
            substitution('model = "mutation-selection"\n[rate]\ntreatment = "fixed"'),
            RateAssumption("fixed", 0.0),
        ),
        (
            substitution('model = "mutation-selection"\n[rate]\ntreatment = "prior"\nsd = 2'),
            RateAssumption("prior", 0.0, 2.0),
        ),
        (MINIMAL + '[rate]\ntreatment = "free"', RateAssumption("free")),
        (
            substitution('model = "f81"\n[rate]\ntreatment = "fixed"'),
            RateAssumption("fixed", NEUTRAL_LOG_RATE),
        ),
    ],
)
def test_the_rate_follows_from_the_substitution_model(write, text, wanted):
    assert read_config(write(text)).site_model_spec().rate == wanted


def test_a_learned_prior_is_yet_unknown(write):
    config = read_config(write(MINIMAL + "[rate]\nlearn = true\n"))
    assert config.rate.assumption() is None
    assert config.rate.treatment == "prior"


def test_substitution_settings_reach_the_model(write):
    text = 'model = "gtr"\nexchangeabilities = [1, 2, 3, 4, 2, 1]\nlearn = false\n'
    config = read_config(write(substitution(text)))
    model = config.site_model_spec().build().substitution
    assert model.name == "gtr"
    found = model.settings()["exchangeabilities"]
    assert [value / found[0] for value in found] == pytest.approx([1, 2, 3, 4, 2, 1])
    # A genome's two strands are alike unless the user says that they are not.
    assert model.strand_symmetric is True
    asymmetric = read_config(write(substitution('model = "gtr"\nstrand_symmetric = false\n')))
    assert asymmetric.site_model_spec().build().substitution.strand_symmetric is False
    f81 = read_config(write(substitution('model = "f81"')))
    assert f81.substitution.strand_symmetric is None


@pytest.mark.parametrize("learn", ["true", "false"])
def test_to_dict_round_trip(write, learn):
    text = MINIMAL + "[network]\nchannels = 8\n[optimiser]\nsteps = 5\n"
    text += f'[substitution]\nmodel = "hky"\nkappa = 3\n[rate]\nlearn = {learn}\n'
    config = read_config(write(text))
    again, errors = parse_config(config.to_dict(), config.folder)
    assert errors == []
    assert again == config


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("true", "all"),
        ("false", "none"),
        ('"all"', "all"),
        ('"exchangeabilities"', "exchangeabilities"),
        ('"none"', "none"),
    ],
)
def test_what_is_learned_is_a_word_or_as_in_old_files(write, given, meant):
    assert read_config(write(substitution(f"learn = {given}"))).substitution.learn == meant


@pytest.mark.parametrize(
    ("text", "fraction", "select_by", "schedule", "patience"),
    [
        (MINIMAL, 0.1, "held_out_columns", "plateau", PATIENCE),
        (MINIMAL + 'held_out_contigs = ["chrM"]', 0, "held_out_columns", "plateau", PATIENCE),
        (MINIMAL + "held_out_fraction = 0", 0, "last", "cosine", 0),
        (MINIMAL + "held_out_fraction = 0.3", 0.3, "held_out_columns", "plateau", PATIENCE),
        (MINIMAL + '[run]\nselect_by = "last"', 0.1, "last", "cosine", 0),
        (MINIMAL + '[optimiser]\nschedule = "cosine"', 0.1, "held_out_columns", "cosine", 0),
    ],
)
def test_defaults_follow_from_what_is_held_out(
    write, text, fraction, select_by, schedule, patience
):
    config = read_config(write(text))
    assert config.data.held_out_fraction == fraction
    assert config.run.select_by == select_by
    assert config.optimiser.schedule == schedule
    assert config.run.patience == patience


def test_length_in_steps_or_epochs(write):
    def length(text: str) -> int:
        return read_config(write(MINIMAL + "[optimiser]\n" + text)).optimiser.length(7)

    assert length("") == 7 * MOST_EPOCHS
    assert length("epochs = 2") == 14
    assert length("epochs = 0.01") == 1
    assert length("epochs = 2\nsteps = 5") == 5


def test_changed_keys(write):
    before = read_config(write(MINIMAL)).to_dict()
    after = read_config(write(MINIMAL + "[optimiser]\nsteps = 5\n[run]\nseed = 2\n")).to_dict()
    assert changed_keys(before, after) == ["optimiser.epochs", "optimiser.steps", "run.seed"]
    assert changed_keys(before, before) == []


def test_every_error_is_listed_at_once(write):
    path = write(
        """
        [data]
        stores = ["absent.store"]
        minimum_specis = 3
        held_out_species_fraction = 1.5
        held_out_contigs = "chrM"
        [network]
        preset = "tinny"
        [optimizer]
        steps = 5
        [optimiser]
        learning_rate = "fast"
        window_length = 0
        weight_decay = -1
        steps = 2.5
        [substitution]
        model = "hky"
        kappa = -1
        background = [1, 2, 3]
        strand_symmetric = true
        [rate]
        treatment = "guess"
        sd = 0
        [run]
        seed = -1
        select_by = "held_out_species"
        """
    )
    with pytest.raises(InputError) as caught:
        read_config(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    for expected in (
        "there is no", "absent.store",
        "unknown key data.minimum_specis (did you mean minimum_species?)",
        "data.held_out_species_fraction must be at least 0 and below 1",
        "data.held_out_contigs must be a list of texts, not 'chrM'",
        "network.preset must be one of tiny, small",
        "unknown table [optimizer] (did you mean optimiser?)",
        "optimiser.learning_rate must be a number, not 'fast'",
        "optimiser.window_length must be above 0",
        "optimiser.weight_decay must not be negative",
        "optimiser.steps must be an integer, not 2.5",
        "substitution.kappa must be positive and finite",
        "substitution.background must be 4 numbers",
        "substitution.strand_symmetric is no parameter of hky, which has kappa, background",
        "rate.treatment must be one of prior, free, fixed, not 'guess'",
        "rate.sd must be above 0",
        "run.seed must not be negative",
    ):  # fmt: skip
        assert expected in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "data.stores must name"),
        ("data = 3", "data must be a table"),
        ("[data]\nstores = []", "data.stores must name"),
        ("[data]\nstores = [3]", "data.stores must be a list"),
        (MINIMAL + "[optimiser]\nlearning_rate = nan", "must be a number, not nan"),
        (MINIMAL + "[optimiser]\nlearning_rate = inf", "must be a number, not inf"),
        (MINIMAL + f"[optimiser]\nlearning_rate = 1{'0' * 400}", "must be a number"),
        (MINIMAL + "[rate]\nmean = nan", "must be a number, not nan"),
        (MINIMAL + "[optimiser]\nsteps = true", "must be an integer, not True"),
        (MINIMAL + f"[run]\nseed = {1 << 63}", "run.seed must be below"),
        (MINIMAL + "[network]\nchannels = 7", "channels and bottleneck must be even"),
        (MINIMAL + "[network]\ndilations = []", "dilations must be positive"),
        (MINIMAL + "[network]\nkernel_size = 4", "kernel_size must be odd"),
        (
            MINIMAL + 'held_out_fraction = 0\n[run]\nselect_by = "held_out_columns"',
            "holds out no columns",
        ),
        (MINIMAL + "held_out_fraction = 1", "held_out_fraction must be at least 0 and below 1"),
        (MINIMAL + "held_out_fraction = -0.1", "held_out_fraction must be at least 0"),
        (
            MINIMAL + 'held_out_fraction = 0.2\nheld_out_contigs = ["chrM"]',
            "held_out_fraction draws what is held out, but data names it",
        ),
        (
            MINIMAL + 'held_out_fraction = 0\n[optimiser]\nschedule = "plateau"',
            "schedule is plateau, which needs a held-out figure",
        ),
        (
            MINIMAL + '[optimiser]\nschedule = "plateau"\n[run]\nselect_by = "last"',
            "schedule is plateau, which needs a held-out figure",
        ),
        (
            MINIMAL + '[run]\nselect_by = "last"\npatience = 3',
            "patience needs a held-out figure",
        ),
        (MINIMAL + '[optimiser]\nschedule = "steps"', "must be one of plateau, cosine, not 'st"),
        (MINIMAL + "[optimiser]\nepochs = 0", "optimiser.epochs must be above 0"),
        (MINIMAL + "[optimiser]\nepochs = 1e7", "optimiser.epochs must not exceed 1,000,000"),
        (MINIMAL + "[run]\npatience = -1", "run.patience must not be negative"),
        (MINIMAL + "[run]\nevaluate_every = 0", "run.evaluate_every must be above 0"),
        (substitution("frequency_prior_sd = 0"), "frequency_prior_sd must be above 0"),
        (
            substitution('model = "gtr"\nfrequency_prior_sd = 0.1'),
            "frequency_prior_sd: gtr has no mutation frequencies",
        ),
        (
            substitution('learn = "exchangeabilities"\nfrequency_prior_sd = 0.1'),
            "frequency_prior_sd has no effect where learn is exchangeabilities",
        ),
        (MINIMAL + '[run]\nselect_by = "held_out_species"', "holds out no species"),
        (MINIMAL + "[network]\nchannels = 1000000", "parameters is too large"),
        (MINIMAL + f"[network]\nchannels = 1{'0' * 30}", "channels must be below 2^63"),
        (MINIMAL + f"[network]\ndilations = [1{'0' * 30}]", "dilations must be below 2^63"),
        (MINIMAL + f"[network]\ndilations = {[1] * 200_000}", "not name more than 10000 blocks"),
        (MINIMAL + "[optimiser]\nwindow_length = 100000000", "more than 10,000,000 positions"),
        (MINIMAL + "[optimiser]\nwindows_per_batch = 9000000", "more than 10,000,000 positions"),
        (MINIMAL + f"[optimiser]\nwindow_length = 1{'0' * 30}", "window_length must be below"),
        (MINIMAL + "buffer_bytes = 0", "data.buffer_bytes must be above 0"),
        (MINIMAL + "buffer_bytes = 2000000000000000", "buffer_bytes must not exceed"),
        (MINIMAL + "workers = -1", "data.workers must not be negative"),
        (MINIMAL + "workers = 1000", "data.workers must not exceed 256"),
        (MINIMAL + "store_weights = [1, 1]", "store_weights must have a number for each"),
        (MINIMAL + "store_weights = [0]", "store_weights must be above 0 and not exceed 1"),
        (MINIMAL + "store_weights = [1.5]", "store_weights must be above 0 and not exceed 1"),
        (MINIMAL + "any_row_weight = -0.1", "data.any_row_weight must not be negative"),
        (MINIMAL + "any_row_weight = 1.01", "data.any_row_weight must not exceed 1"),
        (MINIMAL + "any_row_until = 1.5", "data.any_row_until must not exceed 1"),
        (MINIMAL + "[optimiser]\nlearning_rate = 1e300", "learning_rate must not exceed 10"),
        (MINIMAL + "[optimiser]\nweight_decay = 1e300", "weight_decay must not exceed 10"),
        (MINIMAL + "[optimiser]\nsteps = 10000000000", "steps must not exceed"),
        (MINIMAL + f"[optimiser]\nsteps = 1{'0' * 30}", "optimiser.steps must be below 2^63"),
        (substitution('model = "jc69"'), "substitution.model must be one of f81, hky, gtr, mut"),
        (substitution('modle = "hky"'), "unknown key substitution.modle (did you mean model?)"),
        (
            substitution('learn = "yes"'),
            "substitution.learn must be one of all, exchangeabilities, none, not 'yes'",
        ),
        (
            substitution('model = "f81"\nkappa = 2'),
            "kappa is no parameter of f81, which has none",
        ),
        (substitution('model = "hky"\nkappa = 0'), "substitution.kappa must be positive"),
        (substitution('model = "hky"\nkappa = nan'), "substitution.kappa must be a number"),
        (
            substitution('model = "gtr"\nexchangeabilities = [1, 2]'),
            "substitution.exchangeabilities must be 6 numbers",
        ),
        (
            substitution('model = "gtr"\nexchangeabilities = [1, 2, 3, 4, 5, "6"]'),
            "substitution.exchangeabilities must be a list of numbers",
        ),
        (
            substitution('model = "mutation-selection"\nmutation_frequencies = [4, 3, 2, 1]'),
            "mutation_frequencies differ between the strands, but strand_symmetric is true",
        ),
        (substitution("learning_rate = 0"), "substitution.learning_rate must be above 0"),
        (substitution("learning_rate = 2"), "substitution.learning_rate must not exceed 1"),
        (MINIMAL + "[rate]\nlearn = true\nsd = 2", "leave them out"),
        (MINIMAL + '[rate]\nlearn = true\ntreatment = "free"', "rate.learn has nothing"),
        (MINIMAL + "[rate]\nsd = 1001", "rate.sd must not exceed 1,000"),
        (MINIMAL + "[rate]\nmean = -51", "rate.mean must lie between -50 and 50"),
        (MINIMAL + "minimum_branch_length = 1e9", "minimum_branch_length must not exceed 10"),
        (MINIMAL + f"[optimiser]\nsteps = 1{'0' * 5000}", "not valid TOML"),
        (MINIMAL + f"[optimiser]\nlearning_rate = 0x1{'0' * 5000}", "thousands of digits"),
        (MINIMAL + 'region_weights_file = "\\u0000"', "region_weights_file must not hold a NUL"),
        (MINIMAL + 'clade = ["\\u0000", "a"]', "data.clade must not hold a NUL"),
        (MINIMAL + 'contig_weights = { "\\u0000" = 1 }', "contig_weights must not hold a NUL"),
        (MINIMAL + '[run]\ninit_from = "a\\u0000"', "run.init_from must not hold a NUL"),
        ("[data\n", "not valid TOML"),
        ("a = " + "[" * 100_000, "not valid TOML"),
    ],
    ids=lambda value: value[-40:],
)
def test_single_errors(write, text, match):
    with pytest.raises(InputError, match=re.escape(match)):
        read_config(write(text))


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path, tmp_path / "absent.toml"):
        with pytest.raises(InputError, match="cannot read"):
            read_config(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_config(tmp_path / "binary.toml")
    with pytest.raises(InputError, match="too large"):
        read_config("/dev/zero")


def test_all_limits_are_listed_at_once(write):
    text = (
        "[optimiser]\nlearning_rate = 1e300\nsteps = 10000000000\n[network]\nchannels = 1000000\n"
    )
    with pytest.raises(InputError) as caught:
        read_config(write(MINIMAL + text))
    for expected in ("learning_rate must not exceed", "steps must not exceed", "too large"):
        assert expected in str(caught.value)


def test_configurations_compare_by_value(config_of, mammals_store):
    assert config_of(mammals_store) == config_of(mammals_store)
    assert config_of(mammals_store) != config_of(mammals_store, run={"seed": 6})
    assert isinstance(config_of(mammals_store), TrainingConfig)


def keys_of_the_page() -> list[str]:
    """`table.key` of every row of the table of keys: a cell may name several keys of a table."""
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    rows = text[text.index("| table.key |") :].partition("\n\n")[0].splitlines()[2:]
    found = []
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row.split("|")[1])
        table = first.partition(".")[0]
        found += [first, *(name if "." in name else f"{table}.{name}" for name in others)]
    return found


def test_every_key_stands_on_the_page_once():
    keys = [
        f"{table.name}.{key.name}"
        for table in dataclasses.fields(TrainingConfig)
        if dataclasses.is_dataclass(kind := typing.get_type_hints(TrainingConfig)[table.name])
        for key in dataclasses.fields(kind)
    ]
    assert len(keys) > 40
    assert sorted(keys_of_the_page()) == sorted(keys)
