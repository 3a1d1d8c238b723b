from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from phylotools.errors import InputError, OutputError, UsageError
from phylotools.io.bed import read_bed
from phylotools.io.files import (
    atomic_folder,
    atomic_path,
    open_input,
    refuse_same_file,
    refuse_two_streams,
    write_atomic,
)
from phylotools.io.genome import ReferenceGenome
from phylotools.store.tree_file import read_tree

CONTENTS = ("table", "picture")


def entries(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def make(path: Path, *, force: bool = True) -> None:
    with atomic_folder(path, force=force, contents=CONTENTS) as folder:
        (folder / "table").write_text("new")


@pytest.mark.parametrize("old", [[], ["table"], ["table", "picture"]])
def test_force_replaces_a_folder_of_ours(tmp_path: Path, old: list[str]) -> None:
    place = tmp_path / "report"
    place.mkdir()
    for name in old:
        (place / name).write_text("old")
    make(place)
    assert entries(tmp_path) == {"report": "", "report/table": "new"}


@pytest.mark.parametrize("foreign", ["thesis.tex", ".ssh", "table2"])
def test_force_deletes_nothing_that_we_did_not_make(tmp_path: Path, foreign: str) -> None:
    place = tmp_path / "home"
    place.mkdir()
    (place / "table").write_text("old")
    (place / foreign).write_text("years of work")
    before = entries(tmp_path)
    with pytest.raises(OutputError, match="not of such an output"):
        make(place)
    assert entries(tmp_path) == before


def test_force_never_turns_a_file_into_a_folder(tmp_path: Path) -> None:
    alignment = tmp_path / "in.maf"
    alignment.write_text("the input")
    with pytest.raises(OutputError, match="is no folder"):
        make(alignment)
    assert entries(tmp_path) == {"in.maf": "the input"}


def test_force_does_not_replace_a_link_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError, match="is no folder"):
        make(tmp_path / "link")


def test_a_folder_that_changed_meanwhile_stays(tmp_path: Path) -> None:
    place = tmp_path / "report"
    with ExitStack() as stack:
        folder = stack.enter_context(atomic_folder(place, contents=CONTENTS))
        (folder / "table").write_text("ours")
        place.mkdir()
        (place / "table").write_text("theirs")
        with pytest.raises(OutputError, match="already exists"):
            stack.pop_all().close()
    assert entries(tmp_path) == {"report": "", "report/table": "theirs"}


def test_a_folder_is_not_stdout(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot go to stdout"), atomic_folder("-"):
        pass
    assert entries(tmp_path) == {}


@pytest.mark.parametrize("make_output", [atomic_folder, atomic_path])
def test_a_full_disk_names_the_output(tmp_path: Path, make_output) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    message = "out: cannot write: No space left on device"
    with pytest.raises(OutputError, match=message), make_output(tmp_path / "out"):
        raise full
    assert entries(tmp_path) == {}


def test_other_system_errors_are_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "input").read_text()


def test_a_name_that_the_file_system_refuses(tmp_path: Path) -> None:
    for make_output in (atomic_folder, atomic_path):
        opened = make_output(tmp_path / ("x" * 254))
        with pytest.raises(OutputError, match="cannot write: File name too long"):
            opened.__enter__()


def test_permissions_follow_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "text")
        make(tmp_path / "folder")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("spelling", ["kept/", "kept/.", "./kept//", ""])
@pytest.mark.parametrize("made", [atomic_path, atomic_folder])
def test_other_spellings_of_what_exists(tmp_path, monkeypatch, spelling, made):
    """A trailing slash hid a file from the check, and an empty name hid the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("kept").write_text("kept")
    for options in ({}, {"force": True}) if made is atomic_folder or not spelling else ({},):
        with pytest.raises(OutputError, match=r"exist|holds"), made(spelling, **options):
            pass
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("spelling", ["in.bed", "in.bed/", "in.bed/.", "./in.bed"])
def test_an_input_is_no_output_however_it_is_spelled(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    Path("in.bed").touch()
    with pytest.raises(UsageError, match="the output is the input"):
        refuse_same_file(spelling, ["in.bed"])


def test_one_pipe_is_read_once_however_it_is_named(tmp_path: Path) -> None:
    pipe, link, table = tmp_path / "pipe", tmp_path / "link", tmp_path / "table"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    table.write_text("")
    for other in (pipe, link):
        with pytest.raises(UsageError, match="are one pipe, which can be read only once"):
            refuse_two_streams(str(pipe), None, str(other))
    refuse_two_streams(str(pipe), str(table), str(table), str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("data", "packer"),
    [
        (bz2.compress(b"text"), "bzip2"),
        (bz2.compress(b""), "bzip2"),
        (lzma.compress(b"text"), "xz"),
        (bytes.fromhex("28b52ffd2404210000"), "zstd"),
        (bytes.fromhex("04224d1864407000"), "lz4"),
    ],
)
def test_other_compression_is_named_with_the_way_out(tmp_path: Path, data, packer) -> None:
    path = tmp_path / "x.bed"
    path.write_bytes(data)
    for reader in (open_input, read_bed, ReferenceGenome.open, read_tree):
        with pytest.raises(InputError, match=rf"x\.bed: the file is compressed with {packer}; unp"):
            reader(path)


@pytest.mark.parametrize("text", [b"BZh9\t1\t2\n", b"", b"B"])
def test_text_that_begins_alike_is_read(tmp_path: Path, text: bytes) -> None:
    for data in (text, gzip.compress(text)):
        path = tmp_path / "x"
        path.write_bytes(data)
        with open_input(path) as handle:
            assert handle.read() == text
