"""Files on their way to the server and back."""

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIECE_BYTES = 1 << 20


class Content:
    """A file as the body of a request: from the beginning at each attempt, and never in memory as a whole."""

    def __init__(self, file: Path | bytes) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        opened = io.BytesIO(self._file) if isinstance(self._file, bytes) else self._file.open("rb")
        with opened:
            while piece := opened.read(_PIECE_BYTES):
                yield piece


def file_size(file: Path | bytes) -> int:
    return len(file) if isinstance(file, bytes) else file.stat().st_size


def ids_as_csv(ids: Iterable[str]) -> bytes:
    """A file of ids with a header."""
    lines = ["user_id"]
    for user in ids:
        quoted = user.replace('"', '""')
        lines.append(f'"{quoted}"')
    return ("\n".join(lines) + "\n").encode()


def ids_of_lines(lines: Iterable[str]) -> Iterator[str]:
    """The ids of an export as JSON lines."""
    for line in lines:
        if line:
            yield json.loads(line)["user_id"]


def definitions(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[str, str]]:
    """Names and texts of YAML files; folders give all of theirs, in order of name."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")])
        else:
            found.append(path)
    return [(str(path), path.read_text(encoding="utf-8")) for path in found]
