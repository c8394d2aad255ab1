"""Texts, counted in characters from 1."""

from __future__ import annotations

import hashlib

from lakeflow_meta.sql_functions.faults import SqlValueError


def replace(text: str, old: str, new: str = "") -> str:
    return text.replace(old, new) if old else text


def substring(text: str, start: int, length: int | None = None) -> str:
    """Counts from 1; from the end where ``start`` is negative. 0 is as 1."""
    first = start - 1 if start > 0 else len(text) + start if start < 0 else 0
    last = len(text) if length is None else first + max(0, length)
    return text[max(0, first) : max(0, last)]


def left(text: str, length: int) -> str:
    return text[: max(0, length)]


def right(text: str, length: int) -> str:
    return text[-length:] if length > 0 else ""


def lpad(text: str, length: int, pad: str = " ") -> str:
    return _padding(text, length, pad) + text[: max(0, length)]


def rpad(text: str, length: int, pad: str = " ") -> str:
    return text[: max(0, length)] + _padding(text, length, pad)


def _padding(text: str, length: int, pad: str) -> str:
    missing = _small(length) - len(text)
    return (pad * (missing // len(pad) + 1))[:missing] if missing > 0 and pad else ""


def repeat(text: str, times: int) -> str:
    _small(len(text) * times)
    return text * times


def _small(length: int) -> int:
    """The length, where it is one that memory is for; below 0 it is 0."""
    if length > 10_000_000:
        raise SqlValueError("a text of more than 10 million characters")
    return max(0, length)


def split_part(text: str, delimiter: str, number: int) -> str:
    if number == 0:
        raise SqlValueError("split_part() counts from 1, or from the end with -1")
    parts = text.split(delimiter) if delimiter else [text]
    position = number - 1 if number > 0 else len(parts) + number
    return parts[position] if 0 <= position < len(parts) else ""


def concat(*texts: str) -> str:
    return "".join(texts)


def concat_ws(*values: str | None) -> str | None:
    """NULLs are left out; without a delimiter there is nothing."""
    delimiter, *texts = values
    if delimiter is None:
        return None
    return delimiter.join(text for text in texts if text is not None)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sha2(text: str, bits: int) -> str | None:
    names = {0: "sha256", 224: "sha224", 256: "sha256", 384: "sha384", 512: "sha512"}
    return hashlib.new(names[bits], text.encode()).hexdigest() if bits in names else None
