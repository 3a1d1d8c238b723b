"""Outputs in the making: they stand beside their names until they are complete.

What becomes NAME is made as ``.NAME.XXXXXXXX.part``, and what belongs to it (an index) under names
that go on from there. ``.NAME.XXXXXXXX.part.lock`` is made first, deleted last and locked between:
what stands there without a held lock was left by a run that was killed. The next run that writes
NAME removes it. The lock says who made it, because some shared disks give every machine every lock:
a maker that may be alive is let be, whatever its lock says. It says so from the moment that it has
its name, so no other process ever finds one that says nothing and takes its maker for dead.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from pathlib import Path

from phylotools.io.makers import read_maker, this_process

logger = logging.getLogger("phylotools")

_LOCK, _REPLACED = ".lock", ".old"
#: Of a lock that does not yet say who holds it.
_UNNAMED = ".new"
_LONGEST_MAKER = 4096
#: Locks that this process holds.
_own_locks: set[str] = set()
_STAGED = re.compile(r"(\.(?P<name>.+)\.[a-z0-9_]{8}\.part)(\..+)?", re.DOTALL)


def is_staged(name: str) -> bool:
    """Whether a file name is one of an output in the making."""
    return _STAGED.fullmatch(name) is not None


def fsync_path(path: str | os.PathLike[str]) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(final: Path) -> None:
    """Delete what killed runs left beside an output; what a living process makes is not touched.

    A folder that such a run had moved aside, to replace it, gets its name back.

    Parameters
    ----------
    final : Path
        Absolute; the output, which may not exist.
    """
    found: dict[str, list[Path]] = {}
    with contextlib.suppress(OSError), os.scandir(final.parent) as entries:
        for entry in entries:
            match = _STAGED.fullmatch(entry.name)
            if match is not None and match["name"] == final.name:
                found.setdefault(match[1], []).append(Path(entry.path))
    for stem, paths in found.items():
        lock = final.with_name(stem + _LOCK)
        with contextlib.suppress(OSError), _dead_lock(lock, [lock, *paths]):
            replaced = final.with_name(stem + _REPLACED)
            if replaced in paths and not os.path.lexists(final):
                os.rename(replaced, final)
                logger.warning("%s: is back; a run was killed while it replaced it", final)
            for path in paths:
                _remove(path)


@contextlib.contextmanager
def _dead_lock(path: Path, files: list[Path]) -> Iterator[None]:
    """Hold the lock of an output whose maker is dead, and delete it; `OSError` if it is alive."""
    if str(path) in _own_locks:
        raise BlockingIOError(errno.EWOULDBLOCK, "is made by this process")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # It is named before all else and deleted last.
        yield
        return
    try:
        # Fails too where the file system has no locks: then nobody knows, and all stays.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        maker = read_maker(os.pread(descriptor, _LONGEST_MAKER, 0))
        is_other = maker is not None and maker != this_process()
        if maker is not None and is_other and not maker.is_gone(files):
            raise BlockingIOError(errno.EWOULDBLOCK, "its maker may be alive")
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    elif not path.name.endswith(_LOCK):
        path.unlink(missing_ok=True)


class Stage:
    """A place beside an output where it is made.

    Parameters
    ----------
    path : str or PathLike
        The output: a file or a folder. What killed runs left beside it is removed.
    check : callable
        Raises if the output may not be written; asked now and before anything is renamed.
    indexes : collection of str
        Suffixes of files that belong to the output: those of an earlier one are deleted, and one
        that was made under the name of the stage appears after the output.
    is_folder : bool

    Attributes
    ----------
    path : Path
        Where to make it: an empty file or folder.

    Raises
    ------
    OSError
        If nothing can be made there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        check: Callable[[], None] = lambda: None,
        indexes: Collection[str] = (),
        is_folder: bool = False,
    ) -> None:
        self._final = Path(path).absolute()
        remove_leftovers(self._final)
        check()
        self.check, self._is_folder, self._indexes = check, is_folder, indexes
        self._descriptor, lock = _make_lock(self._final)
        self.path = lock.with_suffix("")
        try:
            if is_folder:
                self.path.mkdir()
            else:
                self.path.touch(exist_ok=False)
        except OSError:
            self.close()
            raise

    @property
    def is_inside(self) -> bool:
        """Whether the output belongs to a folder that is itself in the making."""
        return any(map(is_staged, self._final.parts))

    def publish(self) -> None:
        """Give the output its name; a folder that it replaces is deleted when that is done."""
        for suffix in self._indexes:
            Path(f"{self._final}{suffix}").unlink(missing_ok=True)
        if self._is_folder:
            self._publish_folder()
        else:
            os.replace(self.path, self._final)
        for suffix in self._indexes:
            if self._beside(suffix).exists():
                os.replace(self._beside(suffix), f"{self._final}{suffix}")
        fsync_path(self._final.parent)

    def _publish_folder(self) -> None:
        """Give a folder its name; one that has it is moved aside."""
        try:
            os.rename(self.path, self._final)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        # Another process may have been faster a moment ago, and its output be as good.
        self.check()
        os.rename(self._final, self._beside(_REPLACED))
        os.rename(self.path, self._final)

    def sync(self) -> None:
        """Flush all that was made to the disk."""
        made = [self.path, *map(self._beside, self._indexes)]
        for path in filter(os.path.lexists, made):
            for folder, _, names in os.walk(path):
                for name in names:
                    fsync_path(os.path.join(folder, name))
            fsync_path(path)

    def close(self) -> None:
        """Delete what was not published, and let go of the lock."""
        if self._descriptor < 0:
            return
        for path in (self.path, *map(self._beside, [*self._indexes, _REPLACED])):
            _remove(path)
        self._beside(_LOCK).unlink(missing_ok=True)
        _own_locks.discard(str(self._beside(_LOCK)))
        os.close(self._descriptor)
        self._descriptor = -1

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def _make_lock(final: Path) -> tuple[int, Path]:
    """Descriptor and path of a lock that this process holds and that says so."""
    while True:
        suffix = f".part{_LOCK}{_UNNAMED}"
        descriptor, unnamed = tempfile.mkstemp(suffix, f".{final.name}.", final.parent)
        lock = unnamed.removesuffix(_UNNAMED)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                logger.debug("%s: this file system has no locks (%s)", lock, error.strerror)
            os.write(descriptor, f"{this_process().as_text()}\n".encode())
            os.rename(unnamed, lock)
        except FileNotFoundError:
            # Another process took it for what a kill had left.
            os.close(descriptor)
        except BaseException:
            # A full disk, or a signal, at whichever moment.
            for path in (unnamed, lock):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            os.close(descriptor)
            raise
        else:
            _own_locks.add(lock)
            return descriptor, Path(lock)


_together: ContextVar[list[Stage] | None] = ContextVar("_together", default=None)


@contextlib.contextmanager
def outputs_together() -> Iterator[None]:
    """Let the outputs that are made within appear at its end, all of them or none.

    They are renamed in the order in which they were completed. Inside a folder that is itself an
    output in the making, files get their names at once.
    """
    if _together.get() is not None:
        yield
        return
    stages: list[Stage] = []
    token = _together.set(stages)
    try:
        yield
        for stage in stages:
            stage.check()
        for stage in stages:
            stage.publish()
    finally:
        _together.reset(token)
        for stage in stages:
            stage.close()


@contextlib.contextmanager
def outputs_at_once() -> Iterator[None]:
    """Let each output that is made within appear when it is complete, whatever is around.

    For what is kept while outputs are made: if these fail, it stays.
    """
    token = _together.set(None)
    try:
        yield
    finally:
        _together.reset(token)


@contextlib.contextmanager
def staged(stage: Stage) -> Iterator[Path]:
    """Yield the place where an output is made; publish it when all went well, else delete it."""
    # What lies in a folder that is itself in the making has its name at once.
    group = None if stage.is_inside else _together.get()
    try:
        yield stage.path
        stage.sync()
        if group is None:
            stage.check()
            stage.publish()
    except BaseException:
        stage.close()
        raise
    if group is None:
        stage.close()
    else:
        group.append(stage)
