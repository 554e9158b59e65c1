"""Data frames, of pandas or polars. Neither is needed for anything else."""

import io
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from taghouse.errors import FrameMissing
from taghouse.values import Value

if TYPE_CHECKING:
    import pandas
    import polars

Library = Literal["pandas", "polars"]
Profile = Mapping[str, Value]


def library(name: Library) -> ModuleType:
    try:
        if name == "pandas":
            import pandas

            return pandas
        import polars

        return polars
    except ImportError as missing:
        raise FrameMissing(f"{name} is not installed: pip install 'taghouse[{name}]'") from missing


def of_parquet(content: bytes, name: Library) -> "pandas.DataFrame | polars.DataFrame":
    frames: Any = library(name)
    frame: pandas.DataFrame | polars.DataFrame = frames.read_parquet(io.BytesIO(content))
    return frame


def of_profiles(
    users: Sequence[str], profiles: Iterable[Profile], tags: Sequence[str] | None, name: Library
) -> "pandas.DataFrame | polars.DataFrame":
    """A row for each user, a column for each tag; a missing value is null."""
    rows = list(profiles)
    columns = list(tags) if tags is not None else sorted({tag for row in rows for tag in row})
    data: dict[str, list[Any]] = {"user_id": list(users)}
    for column in columns:
        data[column] = [row.get(column) for row in rows]
    frames: Any = library(name)
    if name == "polars":
        polars_frame: polars.DataFrame = frames.DataFrame(data, infer_schema_length=None)
        return polars_frame
    # Whole numbers stay whole beside missing values.
    pandas_frame: pandas.DataFrame = frames.DataFrame(data).convert_dtypes()
    return pandas_frame
