"""This package as a wheel, put together from the files it runs from. No build tool is needed.

https://packaging.python.org/specifications/binary-distribution-format

Promises: the same code gives the same bytes, wherever it is installed: names are sorted, times are
fixed, nothing is compressed (compressors differ between machines), and of the metadata only what
pip needs is kept, in one order. The version carries a digest of the content as its local part
(PEP 440), so that no cache serves an older wheel for a newer one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import lakeflow_meta
from lakeflow_meta.errors import BackendError, ConfigError
from lakeflow_meta.fingerprint import content_hash
from lakeflow_meta.jobs.deployment import BuiltPackage

NAME = "lakeflow_meta"

_CACHES = "__pycache__"
_EXTRA = re.compile(r"([^;]+?)\s*;\s*extra\s*==\s*(['\"])databricks\2")
_OLDEST_TIME = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16
_REMEDY = "install it, e.g. `pip install -e .` in its folder"


def own_package() -> BuiltPackage:
    """The package of this process. Raises ConfigError where it is not installed, BackendError."""
    try:
        installed = distribution(NAME)
    except PackageNotFoundError as error:
        message = f"{NAME} runs from a folder and is not installed, so its needs are not known"
        raise ConfigError(f"{message}; {_REMEDY}") from error
    return build_wheel(Path(lakeflow_meta.__path__[0]), installed, lakeflow_meta.__version__)


def build_wheel(folder: Path, installed: Distribution, version: str) -> BuiltPackage:
    """A wheel of the code below ``folder`` with the needs and commands of a distribution.

    Raises ConfigError where the distribution is of another ``version`` than the code, BackendError.
    """
    if installed.version.partition("+")[0] != version:
        told = f"the code is version {version}, what is installed says {installed.version}"
        raise ConfigError(f"{told}; {_REMEDY}")
    code = _code(folder)
    plain = _record({**code, **_dist_info(installed, version)})
    full = f"{version}+g{content_hash(plain.encode())[:8]}"
    files = {**code, **_dist_info(installed, full)}
    record = f"{_info(full)}/RECORD"
    files[record] = f"{_record(files)}{record},,\n".encode()
    return BuiltPackage(
        file_name=f"{NAME}-{full}-py3-none-any.whl",
        content=_archive(files),
        requirements=_databricks_requirements(installed),
    )


def _info(version: str) -> str:
    return f"{NAME}-{version}.dist-info"


def _code(folder: Path) -> dict[str, bytes]:
    try:
        return {
            f"{NAME}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not _is_left_out(path.relative_to(folder))
        }
    except OSError as error:
        message = f"the package cannot be read: {error}"
        raise BackendError(message, code=type(error).__name__) from error


def _is_left_out(path: Path) -> bool:
    return _CACHES in path.parts or any(part.startswith(".") for part in path.parts)


def _dist_info(installed: Distribution, version: str) -> dict[str, bytes]:
    wheel = f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    texts = {
        "METADATA": _metadata(installed, version),
        "WHEEL": wheel,
        "entry_points.txt": _entry_points(installed),
    }
    return {f"{_info(version)}/{name}": text.encode() for name, text in texts.items()}


def _metadata(installed: Distribution, version: str) -> str:
    """https://packaging.python.org/specifications/core-metadata"""
    found = installed.metadata
    lines = ["Metadata-Version: 2.1", f"Name: {NAME}", f"Version: {version}"]
    for name in ("Summary", "Requires-Python", "Requires-Dist", "Provides-Extra"):
        lines += [f"{name}: {value}" for value in sorted(found.get_all(name) or ())]
    return "\n".join(lines) + "\n"


def _entry_points(installed: Distribution) -> str:
    """Raises ConfigError where the commands are not known: a job could not start them."""
    commands = [e for e in installed.entry_points if e.group == "console_scripts"]
    if not commands:
        raise ConfigError(f"what is installed of {NAME} names no command; {_REMEDY}")
    lines = sorted(f"{command.name} = {command.value}\n" for command in commands)
    return "".join(["[console_scripts]\n", *lines])


def _databricks_requirements(installed: Distribution) -> tuple[str, ...]:
    """What the extra ``databricks`` asks for."""
    found = map(_EXTRA.fullmatch, installed.requires or ())
    return tuple(sorted(match[1] for match in found if match))


def _record(files: Mapping[str, bytes]) -> str:
    return "".join(
        f"{name},sha256={_digest(content)},{len(content)}\n"
        for name, content in sorted(files.items())
    )


def _digest(content: bytes) -> str:
    digest = hashlib.sha256(content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _OLDEST_TIME)
            entry.create_system, entry.external_attr = 3, _READABLE
            archive.writestr(entry, content)
    return buffer.getvalue()
