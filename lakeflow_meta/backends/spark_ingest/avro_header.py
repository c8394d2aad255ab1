"""The schema in the header of an Avro file.

https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

_MAGIC = b"Obj\x01"
_MOST_BYTES = 64 * 2**20


class AvroHeaderError(ValueError):
    """The file is no Avro file, or its header is torn."""


def read_avro_fields(file: BinaryIO) -> list[tuple[str, Any]]:
    """Names and types of the record that the file holds. Raises AvroHeaderError, OSError."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise AvroHeaderError("it is no Avro file")
    schema = _metadata(file).get("avro.schema", b"null")
    try:
        told = json.loads(schema)
    except ValueError as error:
        raise AvroHeaderError(f"its schema is no JSON: {error}") from error
    if not (isinstance(told, dict) and told.get("type") == "record"):
        raise AvroHeaderError("it does not hold records")
    return [(field["name"], field["type"]) for field in told["fields"]]


def _metadata(file: BinaryIO) -> dict[str, bytes]:
    """A map in blocks; a negative count is followed by the block's size in bytes."""
    found: dict[str, bytes] = {}
    while count := _long(file):
        if count < 0:
            _long(file)
        for _ in range(abs(count)):
            name = _bytes(file).decode()
            found[name] = _bytes(file)
    return found


def _bytes(file: BinaryIO) -> bytes:
    size = _long(file)
    data = file.read(size) if 0 <= size <= _MOST_BYTES else b""
    if len(data) != size:
        raise AvroHeaderError("its header is torn")
    return data


def _long(file: BinaryIO) -> int:
    """Zigzag, seven bits a byte, lowest first."""
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            raise AvroHeaderError("its header is torn")
        value |= (byte[0] & 127) << (7 * place)
        if byte[0] < 128:
            return (value >> 1) ^ -(value & 1)
    raise AvroHeaderError("its header is damaged")
