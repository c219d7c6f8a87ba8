"""The three file formats: how a block is stored until the file is complete, and how blocks are joined."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.records import dataclass
from gpuhours.questions.sweeping.arrow import words

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Format:
    """``encode`` gives a block's bytes, ``join`` the file; both are deterministic."""

    suffix: str

    def encode(self, table: pa.Table) -> bytes:
        """A block as stored in the parts folder: an Arrow stream."""
        import pyarrow as pa

        sink = BytesIO()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
            stream.write_table(table)
        return sink.getvalue()

    def join(self, parts: Iterable[Path], schema: pa.Schema, target: Path) -> None:
        """Write the file from blocks in order."""
        self.write((decoded(part) for part in parts), schema, target)

    def write(self, tables: Iterable[pa.Table], schema: pa.Schema, target: Path) -> None:
        """Write the file from tables."""
        raise NotImplementedError


def decoded(part: Path) -> pa.Table:
    """The table of one block."""
    import pyarrow as pa

    with pa.memory_map(str(part)) as source, pa.ipc.open_stream(source) as stream:
        return stream.read_all()


class Parquet(Format):
    """One row group per block; strings dictionary-encoded, zstd."""

    def write(self, tables: Iterable[pa.Table], schema: pa.Schema, target: Path) -> None:
        """See ``Format.write``."""
        import pyarrow.parquet as pq

        words = [field.name for field in schema if str(field.type) in ("string", "int64")]
        with pq.ParquetWriter(target, schema, compression="zstd", compression_level=1, use_dictionary=words) as writer:
            for table in tables:
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)


class Text(Format):
    """Text lines: a block is stored as the lines that it contributes to the file."""

    def encode(self, table: pa.Table) -> bytes:
        """See ``Format.encode``."""
        return self.lines(table) if table.num_rows else b""

    def join(self, parts: Iterable[Path], schema: pa.Schema, target: Path) -> None:
        """See ``Format.join``."""
        with target.open("wb") as joined:
            joined.write(self.header(schema))
            for part in parts:
                with part.open("rb") as lines:
                    shutil.copyfileobj(lines, joined, 1 << 20)

    def write(self, tables: Iterable[pa.Table], schema: pa.Schema, target: Path) -> None:
        """See ``Format.write``."""
        with target.open("wb") as file:
            file.write(self.header(schema))
            for table in tables:
                file.write(Text.encode(self, table))

    def header(self, schema: pa.Schema) -> bytes:
        """What precedes the first row."""
        return b""

    def lines(self, table: pa.Table) -> bytes:
        """The rows as text."""
        raise NotImplementedError


class Csv(Text):
    """A header line, then the shortest numbers that round-trip; unknown values are empty."""

    def header(self, schema: pa.Schema) -> bytes:
        """See ``Text.header``."""
        return (",".join(f'"{name}"' for name in schema.names) + "\n").encode()

    def lines(self, table: pa.Table) -> bytes:
        """See ``Text.lines``."""
        import pyarrow.csv

        sink = BytesIO()
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(include_header=False))
        return sink.getvalue()


class JsonLines(Text):
    """One object per row; unknown values are null."""

    def lines(self, table: pa.Table) -> bytes:
        """See ``Text.lines``: columns are cast to text and joined with the names before each."""
        import pyarrow as pa
        import pyarrow.compute as pc

        pieces: list[Any] = []
        for position, name in enumerate(table.schema.names):
            pieces += [f"{'{' if position == 0 else ','}{json.dumps(name)}:", _as_json(table[name].combine_chunks())]
        joined = pc.binary_join_element_wise(*pieces, "}\n", "")
        joined = joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined
        offsets = joined.buffers()[1], joined.offset
        starts = memoryview(offsets[0]).cast("i")
        return joined.buffers()[2].to_pybytes()[starts[offsets[1]] : starts[offsets[1] + len(joined)]]


def _as_json(column: Any) -> Any:
    """A column's values as JSON text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        written = words([json.dumps(word) for word in coded.dictionary.to_pylist()])
        column = pa.DictionaryArray.from_arrays(coded.indices, written).cast(pa.string())
    return pc.fill_null(column.cast(pa.string()), "null")


FORMATS: dict[str, Format] = {".csv": Csv(".csv"), ".parquet": Parquet(".parquet"), ".jsonl": JsonLines(".jsonl")}


def format_of(path: Path) -> Format:
    """The format that a file's extension names."""
    chosen = FORMATS.get(path.suffix.lower())
    if chosen is None:
        raise EstimateError(
            f"{path.suffix or 'No extension'!r} is not a supported format.", f"Use {', '.join(FORMATS)}.", f"-o {path}"
        )
    return chosen
