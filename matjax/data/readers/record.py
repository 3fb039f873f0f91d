"""What every reader yields, and how every reader opens a file."""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from matjax.types import Crystal

COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
ID_COLUMNS = ("material_id", "mp_id", "mpid", "mp-id", "jid", "id", "uid")


@dataclasses.dataclass(frozen=True)
class Record:
    """One crystal of a file, or the reason why it could not be read.

    Attributes:
      name: What the file calls it.
      crystal: The crystal; None where `reason` says why there is none.
      values: {column: value} beside the structure: numbers, text, `forces` [n_atom, 3], `stress` [3, 3], None where absent.
      reason: Why this record cannot be used; empty for a good one.
    """

    name: str
    crystal: Crystal | None
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    reason: str = ""


def attempt(name: str, values: Mapping[str, Any], build: Callable[[], Crystal]) -> Record:
    """The record of the crystal that `build` makes, or of the reason why it fails."""
    try:
        return Record(name, build(), values)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
        return Record(name, None, values, reason_of(error))


def reason_of(error: Exception) -> str:
    """An exception as the reason of a record: its first line, with its type where the text alone says little."""
    text = (str(error).strip().splitlines() or [""])[0]
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def named(values: Mapping[str, Any], default: str) -> tuple[str, dict[str, Any]]:
    """The id among the values (`material_id`, `id`, ...) or the default, and the other values."""
    column = next((c for c in ID_COLUMNS if values.get(c) not in (None, "")), None)
    return (default if column is None else str(values[column])), {k: v for k, v in values.items() if k != column}


@contextlib.contextmanager
def opened(path: Path, *, errors: str = "strict") -> Iterator[TextIO]:
    """A text file, decompressed by its suffix (.gz, .bz2, .xz).

    Args:
      path: The file, in UTF-8.
      errors: What happens to bytes that are not: `strict`, or `replace` for formats whose comments come in any encoding.

    Raises:
      ValueError: If the compressed stream is truncated or damaged, or the content is not text.
    """
    try:
        with COMPRESSED.get(path.suffix, open)(path, "rt", encoding="utf-8", errors=errors) as file:  # type: ignore[operator]
            yield file
    except DAMAGED as error:
        raise ValueError(f"{path}: the compressed file is truncated or damaged ({error})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path}: is not a {path.suffix} file ({error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not text ({error.reason} at byte {error.start})") from error


class NamedText(io.StringIO):
    """Text that remembers its file, as some of ASE's parsers ask for."""

    def __init__(self, text: str, path: Path) -> None:
        """The text of a file, already read."""
        super().__init__(text)
        self.name = str(path)


def bare(path: Path) -> str:
    """File name without the suffix of compression."""
    return path.name.removesuffix(path.suffix) if path.suffix in COMPRESSED else path.name
