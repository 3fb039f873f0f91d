"""Where a measurement writes: a fresh folder for each, removed or kept by policy."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from matjax.config import spec

POLICIES = ("never", "failed", "always")


@spec
class Scratch:
    """Settings of scratch folders.

    Attributes:
      keep: Which folders stay: "never", "failed" (those of measurements that failed), "always".
      folder: Where those that stay lie; the system's folder for temporary files where none does.
    """

    keep: str = "never"
    folder: str = ""

    def __post_init__(self) -> None:
        """Refuses a policy that nobody knows, and keeping in no place."""
        if self.keep not in POLICIES:
            raise ValueError(f"keep is {self.keep!r}; allowed: {', '.join(POLICIES)}")
        if self.keep != "never" and not self.folder:
            raise ValueError(f"keep is {self.keep!r}, but folder is empty; name the folder in which scratch folders shall stay")

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[Path, Callable[[bool], None]]]:
        """A fresh folder, and what is told at the end whether the measurement succeeded; not told counts as failed.

        Args:
          name: Beginning of the folder's name.
        """
        if self.folder:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        path, told = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder or None)).resolve(), list[bool]()
        try:
            yield path, told.append
        finally:
            succeeded = bool(told) and told[-1]
            if self.keep == "never" or (self.keep == "failed" and succeeded):
                shutil.rmtree(path, ignore_errors=True)
