"""Tensors out of the files of others: safetensors, and checkpoints of torch, without trust.

A checkpoint is a zip archive with a pickle in it, which can hold any code. Its instructions are
read, not followed, before torch is asked to load it: only those that make numbers, text,
dictionaries and tensors are let through.
"""

from __future__ import annotations

import contextlib
import os
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from phylotools.errors import InputError, shown
from phylotools.io.files import open_regular

_AGAIN = "download it again"
_ZIP_MAGIC, _ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
_ZIP64_END, _ZIP64_LOCATOR = b"PK\x06\x06", b"PK\x06\x07"
#: Bytes of the records at the end of an archive, of which torch writes all three.
_ZIP64_END_SIZE, _ZIP64_LOCATOR_SIZE, _ZIP_END_SIZE = 56, 20, 22
#: That of 83 million parameters has 60 kB.
_LARGEST_HEADER = 4 << 20
_LARGEST_PICKLE = 16 << 20
#: A checkpoint is read whole to find it undamaged; one of 83 million parameters and its
#: optimiser's state has 1 GB.
_LARGEST_CHECKPOINT = 16 << 30
#: Members of an archive that `torch.save` makes, below the folder that all share.
_MEMBER = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|byteorder|version|\.data/serialization_id"
    r"|\.format_version|\.storage_alignment)"
)
#: What a pickle of tensors asks for. Not bytearray, which torch would let through: it takes
#: as much memory as the pickle names.
_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    # Of an optimiser's state too, which stays unread.
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16")),
    *(f"torch {kind}Storage" for kind in ("Long", "Int", "Short", "Char", "Byte", "Bool")),
}
#: What builds numbers, text, lists, tuples and dictionaries; the rest makes objects by other ways.
_INSTRUCTIONS = {
    *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("SETITEM", "SETITEMS", "APPEND", "APPENDS"),
    *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
    *("BINPERSID", "GLOBAL", "REDUCE", "BUILD"),
}
_STATE = "model_state_dict"


@dataclass(frozen=True)
class ForeignTensors:
    """Tensors of a file, by name; those of safetensors are read when they are asked for.

    Attributes
    ----------
    shapes : dict of str to tuple of int
    dtypes : dict of str to str
        ``torch.float32`` for what we take.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    _get: Callable[[str], Tensor]

    def __getitem__(self, name: str) -> Tensor:
        """A tensor, whose shape and type have been found right."""
        return self._get(name)


@contextlib.contextmanager
def open_tensors(path: Path) -> Iterator[ForeignTensors]:
    """Open a file of weights, safetensors or a checkpoint of torch, as its first bytes tell.

    Raises
    ------
    InputError
        If it is neither, not complete, or a pickle that would make anything but tensors.
    """
    with open_regular(path) as handle:
        head = handle.read(8)
        size = os.fstat(handle.fileno()).st_size
    if head.startswith(_ZIP_MAGIC):
        yield _of_checkpoint(path, size)
        return
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= size - 8:
        raise InputError(
            "is no complete safetensors file and no checkpoint of torch", path=path, remedy=_AGAIN
        )
    if length > _LARGEST_HEADER:
        raise InputError(
            f"has a header of {length:,} bytes; that of a published network is far smaller",
            path=path,
        )
    with _open_safetensors(path) as tensors:
        yield tensors


@contextlib.contextmanager
def _open_safetensors(path: Path) -> Iterator[ForeignTensors]:
    try:
        opened = safetensors.safe_open(os.fspath(path), framework="pt", device="cpu")
    except (safetensors.SafetensorError, OSError, RuntimeError) as error:
        raise InputError(
            f"is no complete safetensors file ({shown(str(error))})", path=path, remedy=_AGAIN
        ) from None
    with opened as handle:
        slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118
        yield ForeignTensors(
            path,
            {name: tuple(part.get_shape()) for name, part in slices.items()},
            {
                name: {"F32": str(torch.float32)}.get(part.get_dtype(), part.get_dtype())
                for name, part in slices.items()
            },
            handle.get_tensor,
        )


def _of_checkpoint(path: Path, size: int) -> ForeignTensors:
    _check_archive(path, size)
    try:
        # Mapped: what else a checkpoint holds, the optimiser's state, is never read.
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever torch raises for a damaged file
        raise InputError(
            f"torch cannot load it ({shown(str(error).splitlines()[0] if str(error) else '')})",
            path=path,
            remedy=_AGAIN,
        ) from None
    state = loaded.get(_STATE) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping):
        raise InputError(f"has no '{_STATE}'", path=path, remedy="give the published checkpoint.pt")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise InputError(f"{_STATE} holds {shown(repr(name))}, which is no tensor", path=path)
    return ForeignTensors(
        path,
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        {name: str(tensor.dtype) for name, tensor in state.items()},
        state.__getitem__,
    )


def _check_archive(path: Path, size: int) -> None:
    """Refuse an archive that is not as `torch.save` makes it."""
    directory = _directory_place(path, size)
    if directory is None:
        raise InputError("the checkpoint is truncated or damaged", path=path, remedy=_AGAIN)
    if size > _LARGEST_CHECKPOINT:
        raise InputError("is far larger than the checkpoint of a published network", path=path)
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.start_dir != directory:
                raise InputError("is more than one archive", path=path, remedy=_AGAIN)
            pickled = _checked_pickle(archive, size, path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise InputError(
            f"the checkpoint is damaged ({shown(str(error))})", path=path, remedy=_AGAIN
        ) from None
    _check_pickle(pickled, path)


def _directory_place(path: Path, size: int) -> int | None:
    """Where an archive says that its list of members begins; None if it has no proper end.

    Readers of zip files look for that list in different ways. torch must find the one that is
    checked here: so there is no comment, the records at the end stand where torch writes them, and
    the list where they say.
    """
    with open_regular(path) as handle:
        handle.seek(max(0, size - _ZIP64_END_SIZE - _ZIP64_LOCATOR_SIZE - _ZIP_END_SIZE))
        tail = handle.read()
    end = tail[-_ZIP_END_SIZE:]
    locator = tail[-_ZIP_END_SIZE - _ZIP64_LOCATOR_SIZE : -_ZIP_END_SIZE]
    if len(tail) < _ZIP_END_SIZE or not end.startswith(_ZIP_END) or end[-2:] != b"\0\0":
        return None
    if not locator.startswith(_ZIP64_LOCATOR):
        return int.from_bytes(end[16:20], "little")
    stated = int.from_bytes(locator[8:16], "little")
    if not tail.startswith(_ZIP64_END) or stated != size - len(tail):
        return None
    return int.from_bytes(tail[48:56], "little")


def _checked_pickle(archive: zipfile.ZipFile, size: int, path: Path) -> bytes:
    """The pickle of an archive that holds what it should, undamaged and not compressed."""
    members = archive.infolist()
    names = [member.filename for member in members]
    strange = [name for name in names if not _MEMBER.fullmatch(name)]
    if strange or len({name.split("/")[0] for name in names}) != 1:
        raise InputError(
            "is no checkpoint of tensors"
            + (f": it holds {shown(strange[0])!r}" if strange else ""),
            path=path,
        )
    pickles = [member for member in members if member.filename.endswith("/data.pkl")]
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    if packed or len(set(names)) < len(names) or sum(m.file_size for m in members) > size:
        raise InputError(
            "is packed as torch packs no checkpoint: it could unpack to any size", path=path
        )
    if len(pickles) != 1 or pickles[0].file_size > _LARGEST_PICKLE:
        raise InputError("is no checkpoint of a published network", path=path)
    damaged = archive.testzip()
    if damaged is not None:
        raise InputError(
            f"the checkpoint is damaged: wrong checksum of {shown(damaged)}",
            path=path,
            remedy=_AGAIN,
        )
    return archive.read(pickles[0])


def _check_pickle(pickled: bytes, path: Path) -> None:
    """Refuse a pickle that asks for anything but numbers, text and tensors."""
    try:
        for instruction, argument, _ in pickletools.genops(pickled):
            asked = str(argument)
            if instruction.name == "GLOBAL" and asked not in _GLOBALS:
                raise InputError(
                    f"the checkpoint's pickle asks for {shown(asked.replace(' ', '.'))}: "
                    "only tensors are taken, and nothing of it was run",
                    path=path,
                    remedy="get the checkpoint from its authors again",
                )
            if instruction.name not in _INSTRUCTIONS:
                raise InputError(
                    f"the checkpoint's pickle has the instruction {instruction.name}: "
                    "only tensors are taken, and nothing of it was run",
                    path=path,
                    remedy="get the checkpoint from its authors again",
                )
    except ValueError as error:
        raise InputError(
            f"the checkpoint's pickle is damaged ({shown(str(error))})", path=path, remedy=_AGAIN
        ) from None
