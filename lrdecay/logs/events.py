"""TensorBoard's event files: the scalars in them.

They are read here because TensorBoard's own reader comes with a web server and gRPC, for two
formats that old files keep from ever changing: records with a length and checksums (TFRecord), and
in each a protobuf message, of which scalars need Event, Summary, Summary.Value and TensorProto.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC32C = _crc32c_table()


def _checksum(data: bytes) -> int:
    """CRC-32C, masked as TFRecord does."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _records(path: Path) -> Iterator[bytes]:
    """The records of a file. A last one that is cut short is still being written, and left out.

    The checksum of each length is verified, so that damage does not pass for an end; that of the
    data is not, which would take longer than all the rest.
    """
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            length, checksum = struct.unpack("<QI", header)
            if _checksum(header[:8]) != checksum:
                raise ValueError(
                    f"no event at byte {file.tell() - 12}: damaged, or not TensorBoard's"
                )
            data = file.read(length)
            if len(data) < length or len(file.read(4)) < 4:
                return
            yield data


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return value, at


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number and value, which is an int or bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
        else:
            length, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + length], at + length
        yield key >> 3, value


def _scalar(tensor: bytes) -> float | None:
    """The number in a TensorProto of one float or double, as TensorFlow 2 writes scalars."""
    fields = dict(_fields(tensor))
    dtype = {1: "<f4", 2: "<f8"}.get(fields.get(1, 0))
    # Whole in tensor_content, or as float_val or double_val.
    data = next((fields[k] for k in (4, 5, 6) if fields.get(k)), b"")
    if dtype is None or len(data) != np.dtype(dtype).itemsize:
        return None
    return float(np.frombuffer(data, dtype)[0])


def _tag_and_value(value: bytes) -> tuple[str, float | None]:
    """The name and the number of a Summary.Value; None for a picture, a histogram or a text."""
    fields = dict(_fields(value))
    tag = fields.get(1, b"").decode(errors="replace")
    if 2 in fields:
        return tag, struct.unpack("<f", fields[2])[0]
    return tag, _scalar(fields[8]) if 8 in fields else None


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The scalars of an event file: `step` and the tags, a row an event.

    Raises:
      ValueError: not an event file, or a damaged one.
    """
    for record in _records(path):
        try:
            event = list(_fields(record))
            step = dict(event).get(2, 0)
            tags = [
                _tag_and_value(value)
                for number, summary in event
                if number == 5
                for inner, value in _fields(summary)
                if inner == 1
            ]
        except (LookupError, struct.error, AttributeError, TypeError) as error:
            raise ValueError("an event in it is damaged") from error
        if scalars := {tag: value for tag, value in tags if value is not None}:
            yield {**scalars, "step": step - (step >> 63 << 64)}
