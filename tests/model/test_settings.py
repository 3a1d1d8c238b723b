from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from phylotools.errors import InputError, OutputError
from phylotools.model.places import find_cache_folder
from phylotools.model.settings import (
    SETTINGS,
    cache_folder,
    default_model,
    model_key,
    models_folder,
    read_settings,
    reference_of,
    remember_reference,
    use_model,
)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache folder that does not exist yet."""
    monkeypatch.setenv("PHYLOTOOLS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fasta(tmp_path) -> Path:
    path = tmp_path / "ref.fa"
    path.write_text(">chr1\nACGT\n>chr2\nAC\n")
    return path


def test_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("PHYLOTOOLS_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert (cache_folder(), models_folder()) == (Path("/a"), Path("/a/models"))
    monkeypatch.setenv("PHYLOTOOLS_CACHE", "")
    assert cache_folder() == Path("/b/phylotools")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path("/c/.cache/phylotools")


def test_without_a_home(monkeypatch):
    monkeypatch.delenv("PHYLOTOOLS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 987654)
    assert find_cache_folder() is None
    assert default_model() is None
    assert reference_of("m") is None
    with pytest.raises(InputError, match=r"no home folder.*PHYLOTOOLS_CACHE"):
        use_model("m")


def test_reading_makes_nothing(cache):
    assert default_model() is None
    assert reference_of("m") is None
    assert not cache.exists()


def test_the_variable_goes_before_the_setting(cache, monkeypatch):
    use_model("one")
    assert default_model() == ("one", "`phylotools model use`")
    monkeypatch.setenv("PHYLOTOOLS_MODEL", "two")
    assert default_model() == ("two", "PHYLOTOOLS_MODEL")
    monkeypatch.setenv("PHYLOTOOLS_MODEL", "")
    assert default_model() == ("one", "`phylotools model use`")
    use_model(None)
    assert default_model() is None


def test_references_are_kept_beside_the_default(cache, fasta, monkeypatch):
    monkeypatch.chdir(fasta.parent)
    use_model("one")
    remember_reference("one", Path("ref.fa"))
    remember_reference("two", fasta)
    assert reference_of("one") == reference_of("two") == fasta
    assert default_model() == ("one", "`phylotools model use`")
    assert reference_of("three") is None
    assert sorted(path.name for path in cache.iterdir()) == [f".{SETTINGS}.lock", SETTINGS]


def test_a_fasta_that_is_gone_is_named(cache, fasta):
    remember_reference("one", fasta)
    fasta.unlink()
    with pytest.raises(InputError, match=r"not there any more; .*set-reference one") as caught:
        reference_of("one")
    assert str(fasta) in str(caught.value)


def test_an_exchanged_fasta_is_noticed(cache, fasta):
    remember_reference("one", fasta)
    fasta.write_text(">chr1\nTTTT\n>chr2\nTT\n")  # other bases, such as masked ones
    assert reference_of("one") == fasta
    for exchanged in (">chr1\nTTTT\n>chr3\nTT\n", ">chr1\nTTTT\n>chr2\nTTA\n", ">chr1\nACGT\n"):
        fasta.write_text(exchanged)
        with pytest.raises(InputError, match="other contigs than when it was given"):
            reference_of("one")
    remember_reference("one", fasta)
    assert reference_of("one") == fasta


def test_only_a_fasta_is_remembered(cache, tmp_path):
    (tmp_path / "no.fa").write_text("no FASTA")
    for path in (tmp_path / "no.fa", tmp_path / "absent.fa", tmp_path):
        with pytest.raises(InputError):
            remember_reference("one", path)
    assert not cache.exists()


GOOD = {"version": 1, "default_model": None, "references": {}}
REFERENCE = {"fasta": "/x.fa", "size": 1, "mtime_ns": 1, "contigs_sha256": "0"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "\xff",
        "[" * 100_000,
        " " * (1 << 21),
        *(
            json.dumps(document)
            for document in (
                {},
                GOOD | {"version": "1"},
                GOOD | {"default_model": 3},
                GOOD | {"default_model": ""},
                GOOD | {"default_model": "../model"},
                GOOD | {"default_model": "/x\0"},
                GOOD | {"references": []},
                GOOD | {"more": 1},
                GOOD | {"references": {"m": "/x.fa"}},
                GOOD | {"references": {"m": REFERENCE | {"fasta": "relative.fa"}}},
                GOOD | {"references": {"m": REFERENCE | {"fasta": "/x\0.fa"}}},
                GOOD | {"references": {"m": REFERENCE | {"size": True}}},
            )
        ),
    ],
)
def test_damaged_settings(cache, fasta, text):
    cache.mkdir()
    (cache / SETTINGS).write_bytes(text.encode("latin-1"))
    before = (cache / SETTINGS).read_bytes()
    for act in (
        default_model,
        lambda: reference_of("m"),
        lambda: use_model("m"),
        lambda: remember_reference("m", fasta),
    ):
        with pytest.raises(InputError, match=r"is damaged.*mend or delete it") as caught:
            act()
        assert len(str(caught.value)) < 400 + len(str(cache))
        assert str(caught.value).startswith(str(cache / SETTINGS))
    assert (cache / SETTINGS).read_bytes() == before


def test_settings_of_a_newer_version(cache):
    cache.mkdir()
    (cache / SETTINGS).write_text(json.dumps({"version": 2, "anything": 1}))
    with pytest.raises(InputError, match="newer than this phylotools"):
        default_model()


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file(cache, kind):
    cache.mkdir()
    path = cache / SETTINGS
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(InputError, match=r"settings\.json: is no regular file"):
        default_model()


def test_what_nobody_can_read_sets_nothing(cache, caplog):
    cache.mkdir()
    (cache / SETTINGS).symlink_to("nowhere")
    assert default_model() is None
    assert "cannot be read: no setting of it is in force" in caplog.text


def test_a_cache_that_is_a_file(cache):
    cache.touch()
    assert default_model() is None
    with pytest.raises(OutputError, match="cannot be made"):
        use_model("m")


def test_a_read_only_cache(tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir(mode=0o500)
    # Root may write there. Nobody may write where there are no files.
    is_root = os.access(tmp_path / "cache", os.W_OK)
    monkeypatch.setenv("PHYLOTOOLS_CACHE", "/dev/fd" if is_root else str(tmp_path / "cache"))
    with pytest.raises(OutputError, match="cannot write"):
        use_model("m")


def test_a_full_disk_keeps_the_old_settings(cache, file_size_limit):
    use_model("one")
    before = (cache / SETTINGS).read_bytes()
    with file_size_limit(20), pytest.raises((OutputError, OSError)):
        use_model("two" * 100)
    assert (cache / SETTINGS).read_bytes() == before
    assert sorted(path.name for path in cache.iterdir()) == [f".{SETTINGS}.lock", SETTINGS]


def _remember(number: int, fasta: str) -> None:
    remember_reference(f"model-{number}", Path(fasta))


def test_two_writers_lose_nothing(cache, fasta):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_remember, args=(k, str(fasta))) for k in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(read_settings().references) == [f"model-{k}" for k in range(8)]


def test_keys_are_names_where_a_model_has_one(cache, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert model_key(cache / "models" / "toy") == "toy"
    assert model_key(Path("cache/models/toy")) == "toy"
    assert model_key(tmp_path / "toy") == str(tmp_path / "toy")
    assert model_key(Path("toy")) == str(tmp_path / "toy")
