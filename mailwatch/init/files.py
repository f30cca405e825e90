"""Files that only their owner can read, put in place all at once or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Self

from mailwatch.errors import UsageError

# A closed terminal and a polite kill must clean up as Ctrl-C does.
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_HELD_BACK = {signal.SIGINT, *_ENDS}


class Staged:
    """A folder beside the configuration that is to be, where its files stand until `keep` moves them into place.

    with Staged(target) as staged:
        path = staged.put(texts)    # the configuration as it can be loaded and tried
        staged.keep()               # without this nothing is left behind
    Raises `UsageError` where the folder can't be made or written.
    """

    def __init__(self, target: Path) -> None:
        self._target = target.absolute()
        self._made: list[Path] = []
        self._texts: Mapping[str, str] = {}
        self._handlers: dict[signal.Signals, object] = {}
        self._stage: Path | None = None

    def __enter__(self) -> Self:
        for number in _ENDS:
            self._handlers[number] = signal.signal(number, _interrupt)
        folder = self._target.parent
        try:
            for parent in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
                parent.mkdir(mode=0o700)
                self._made.append(parent)
            self._stage = Path(tempfile.mkdtemp(prefix=".mailwatch-init-", dir=folder))
        except BaseException as fault:
            self.__exit__()
            if isinstance(fault, OSError):
                raise self._unwritable(fault) from None
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._stage:
            shutil.rmtree(self._stage, ignore_errors=True)
        for parent in reversed(self._made):
            # What was kept there keeps it.
            if not any(parent.iterdir()):
                parent.rmdir()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave

    def put(self, texts: Mapping[str, str]) -> Path:
        """Write the files, in the place of those put before; the configuration is the last. Its path."""
        stage = self._folder
        try:
            for name in self._texts:
                (stage / name).unlink()
            for name, text in texts.items():
                _write(stage / name, text.encode())
        except OSError as fault:
            raise self._unwritable(fault) from None
        self._texts = dict(texts)
        return stage / self._target.name

    def keep(self) -> list[Path]:
        """Move the files into place, the configuration last; what they replace stays as `NAME.old`. Their paths."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
        placed: list[Path] = []
        try:
            olds = self._keep_olds()
            for name in [*olds, *self._texts]:
                path = self._target.parent / name
                is_new = not path.exists()
                (self._folder / name).replace(path)
                if is_new:
                    placed.append(path)
            _sync(self._target.parent)
        except OSError as fault:
            for path in placed:
                path.unlink()
            raise self._unwritable(fault) from None
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
        return [self._target.parent / name for name in [*self._texts, *olds]]

    def _keep_olds(self) -> list[str]:
        """Copies of the files that are about to be replaced by others, in the stage; their names."""
        olds = []
        for name, text in self._texts.items():
            path = self._target.parent / name
            if path.exists() and path.read_bytes() != text.encode():
                _write(self._folder / f"{name}.old", path.read_bytes())
                olds.append(f"{name}.old")
        return olds

    @property
    def _folder(self) -> Path:
        if self._stage is None:
            raise ValueError("not entered")
        return self._stage

    def _unwritable(self, fault: OSError) -> UsageError:
        return UsageError("init.unwritable", path=self._target.parent, why=fault.strerror)


def _write(path: Path, data: bytes) -> None:
    """A new file of mode 0600, on the disk when this returns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    raise KeyboardInterrupt
