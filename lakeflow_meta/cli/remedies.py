"""What to do about an error: of the disk, of what was typed, of the folder it was typed in."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from lakeflow_meta.errors import BackendError, ConfigError, LakeflowMetaError

FLAGS = ("--json", "--verbose")
OPTIONS = ("--target", "--home", "--conf", "--control-table")
"""The global options, which may stand anywhere: without and with a value."""

_RECORDED = Path(".lakeflow") / "warehouse"
"""A home in which something was recorded; a command in the wrong folder makes one without."""
_ELSEWHERE = "choose another place with --home"

_OF_ERRNO = {
    errno.ENOSPC: "the disk is full: free some space, or use --home on another disk, and type it"
    " again; what was finished stays",
    errno.EDQUOT: "your quota is used up: free some space, or use --home on another disk",
    errno.EACCES: f"give this user permission, or {_ELSEWHERE}",
    errno.EPERM: f"give this user permission, or {_ELSEWHERE}",
    errno.EROFS: f"this disk cannot be written: {_ELSEWHERE}",
    errno.EMFILE: "too many open files: raise the limit with `ulimit -n`",
    errno.ENFILE: "this machine has too many open files",
    errno.EADDRINUSE: "another program listens there; --port 0 takes a port that is free",
}

_BROKEN = (
    "this file keeps the jobs and the runs of the home, and is broken: move it away (control tables"
    " and data stay), then `lakeflow-meta apply` makes the jobs anew"
)
_OF_CODE = {"SQLITE_NOTADB": _BROKEN, "SQLITE_CORRUPT": _BROKEN}


def of_the_machine(error: OSError) -> BackendError:
    """An error of the disk or of the system that no part of ours expected."""
    number = error.errno or 0
    where = f"{error.filename}: " if error.filename else ""
    remedy = f" ({_OF_ERRNO[number]})" if number in _OF_ERRNO else ""
    code = errno.errorcode.get(number, type(error).__name__)
    return BackendError(f"{where}{error.strerror or error}{remedy}", code=code)


def remedies(error: LakeflowMetaError, *, project: Path | None) -> list[str]:
    """What to do, beyond what the error says itself. ``project`` is above where it was typed."""
    code = error.code if isinstance(error, BackendError) else ""
    known = [_OF_CODE[code]] if code in _OF_CODE else []
    if project is not None:
        known.append(f"this folder is no project, and {project} is one: cd {project}")
    return known


def project_above(folder: Path) -> Path | None:
    """The nearest project above, where ``folder`` itself is none."""
    if _is_project(folder):
        return None
    return next(filter(_is_project, folder.parents), None)


def _is_project(folder: Path) -> bool:
    return (folder / "conf" / "default.yml").is_file() or (folder / _RECORDED).is_dir()


def usage(error: typer.TyperException, program: str) -> str:
    """What was typed wrong, what was perhaps meant, and where the right words are."""
    context = getattr(error, "ctx", None)
    option = getattr(error, "option_name", None)
    said = error.format_message()
    if isinstance(option, str) and context is not None:
        said = f"No such option: {option}"
        near = get_close_matches(option, _options(context), n=1, cutoff=0.6)
        said += f". Did you mean {near[0]}?" if near else "."
    command = context.command_path if context is not None else program
    return f"{said}\nTry '{command} --help'."


def _options(context: Any) -> Iterable[str]:
    known = {name for option in context.command.get_params(context) for name in option.opts}
    return sorted(name for name in {*known, *FLAGS, *OPTIONS} if name.startswith("--"))


def modules_are_no_files(
    context: typer.Context, names: Sequence[str] | None
) -> Sequence[str] | None:
    """A check of arguments that name modules. Raises ConfigError for a metadata file."""
    for name in names or ():
        if not context.resilient_parsing and name.endswith((".yml", ".yaml")):
            raise ConfigError(
                f"{name} is a file, and this command wants names of modules: record the file with"
                f" `lakeflow-meta sync {name}`, then name its modules, or none for all"
            )
    return names


def globals_first(arguments: Sequence[str]) -> list[str]:
    """The global options may stand anywhere, up to a ``--``: they are moved to the front."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    moved: list[str] = []
    rest: list[str] = []
    words = iter(arguments[:end])
    for word in words:
        if word in FLAGS:
            moved += [word] if word not in moved else []
        elif word in OPTIONS:
            value = next(words, None)
            moved += [word] if value is None else [word, value]
        elif word.startswith(tuple(f"{option}=" for option in OPTIONS)):
            moved.append(word)
        else:
            rest.append(word)
    return [*moved, *rest, *arguments[end:]]
