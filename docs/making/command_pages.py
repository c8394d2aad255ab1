"""The reference of the command line, from its own parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer.main
from making.markdown_table import table

from lakeflow_meta.cli.help_text import split_help
from lakeflow_meta.cli.main import cli

RESULTS: Mapping[str, str] = {
    "help": "the help text",
    "init": '`{"written": [path], "kept": [path]}`',
    "validate": '`{"problems": [{"file", "line", "column", "path", "message", "hint"}]}`',
    "sync": '`{"added", "changed", "unchanged", "removed", "tables": {name: {"added": [key], …}}, '
    '"not_declared", "dry_run"}`',
    "changes": "the dict of [`detect_changes`](../changes.md#the-answer)",
    "sql": '`{"rows": [{column: value}]}` or `{"rows_affected": n}`; of several statements a list',
    "export": 'the text itself; with `-o` `{"file": path}`',
    "schema": "the JSON Schema",
    "plan": '`{"actions": [{"kind", "name", "action", "changes": [{"path", "before", "after"}], '
    "…}]}`",
    "apply": '`[{"module", "job_id", "action", "error", …}]`, with `"run"` after `--run`; action: '
    "created, updated, unchanged, adopted, recreated, paused, deleted, skipped, failed",
    "run": '`{"run_id", "job_id", "job_name", "state", "trigger", "parameters", "started_at", '
    '"ended_at", "repair_count", "tasks": [{"task_key", "state", "seconds", "error", …}], …}`; '
    "of several modules a list",
    "runs": "a list of what `run` gives; with RUN_ID that one",
    "serve": 'a line a happening: `{"at", "what", "job_name", "run_id", "state", "text", …}`; with '
    '`--list` `[{"job_name", "module", "job_id", "trigger", "next_at", "paused"}]`',
    "ui": '`{"url", "port"}`, when it is there',
    "report": '`{"path", "bytes"}`',
    "monitor": "one line a look: [monitor.md](../monitor.md#the-monitor)",
    "history": '`[{"at", "actor", "verb", "table", "version", …}]`, the newest first',
    "restore": "as `sync`",
    "status": '`{"control_table", "modules", "sources", "tables", "files ingested", "pending": '
    '[text], "problems": [text], "runs": [{"run_id", "job_name", "state", "started_at", '
    '"failed_tasks"}], "monitor", …}`',
    "doctor": '`[{"name", "ok", "detail", "remedy"}]`',
    "config": '`{setting: {"value", "origin"}}`',
    "deploy": "[deploy.md](../deploy.md#settings)",
    "migrate": '`{"from", "layout", "added", "unchanged", "kept", "notes", "dry_run", …}`',
    "tables plan": '`{"tables": [{"name", "outlook", "changes", "statements", "rejections", '
    '"notes"}], "counts", "problems"}`',
    "tables sync": '`{"tables": [{"name", "status", "applied", "total", "error", "version", …}], '
    '"counts", "dry_run", "seconds"}`',
    "tables show": '`[{"table", "columns", …}]`; with `--undeclared` a list of names',
    "tables import": '`{"tables": [name], "left_out", "warnings", "text"}`',
    "ddl run": '`{"targets": {target: {"status", "scripts", …}}, "exit_value", "successful", '
    '"failed", "exceptions", …}`',
    "ddl log": "rows of `ddl_script_executions`",
    "ingest": '`{"processed", "skipped", "failed", "sources": {source: …}}`; with '
    "`--dry-run` the plan",
    "ingest file": "as `ingest`",
    "ingest log": "rows of `etl_control_files`",
    "extract run": '`{"run_id", "total", "success_rate", "rows", "extracts": {name: {"status", '
    '"files", "rows", "bytes", "error", …}}, …}`',
    "extract log": "rows of `etl_control_extract_runs`",
    "extract reset": '`{"forgotten": [name]}`',
}
"""What ``--json`` prints. Pages of capabilities say more; the tests compare keys."""


def cli_page() -> str:
    """Every command."""
    root: Any = typer.main.get_command(cli)
    text = "# Command line\n\n"
    text += "`lakeflow-meta [OPTIONS] COMMAND …`. Options of every command:\n\n"
    text += _options(root.params)
    text += (
        "`--json` and `--verbose` may stand anywhere. Results go to stdout, progress and messages "
        "to stderr.\n\n"
    )
    codes = [
        ("0", "done, or nothing to do"),
        ("1", "something failed; with `--check`: something would change"),
    ]
    codes += [("2", "bad input or settings; nothing was done"), ("130", "stopped by Ctrl-C")]
    text += table(["exit code", ""], codes)
    text += "An error is told on stderr, "
    text += 'with `--json` on stdout: `{"error": {"type", "message"}}`.\n\n'
    return text + "".join(_command(path, command) for path, command in commands(root))


def commands(root: Any) -> Iterator[tuple[str, Any]]:
    """Every command that can be typed, by its words. A group without a word is its ``run``."""
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        if inner is None:
            if not command.hidden:
                yield name, command
            continue
        for word, each in inner.items():
            if each.hidden:
                continue
            yield (name if (name, word) == ("ingest", "run") else f"{name} {word}"), each


def _command(path: str, command: Any) -> str:
    said, examples = split_help(command.help or "")
    said = re.sub(r"(?<!\n)\n(?!\n)", " ", said).strip()
    text = f"## {path}\n\n{said}\n\n"
    text += f"```\nlakeflow-meta {' '.join([path, *_usage(command.params)])}\n```\n\n"
    arguments = [p for p in command.params if _is_argument(p)]
    if arguments:
        rows = [
            (f"`{_argument(p)}`", _sentence(p.help), "" if p.required else "may be left out")
            for p in arguments
        ]
        text += table(["argument", "", ""], rows)
    text += _options([p for p in command.params if not _is_argument(p)])
    if path in RESULTS:
        text += f"`--json`: {RESULTS[path]}.\n\n"
    if examples:
        text += "".join(["```\n", *(f"{line}\n" for line in examples), "```\n\n"])
    return text


def _is_argument(parameter: Any) -> bool:
    return type(parameter).__name__ == "TyperArgument"


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper().strip("[]")
    name = name.removesuffix("…").removesuffix("...")
    return f"{name}…" if parameter.nargs == -1 else name


def _usage(parameters: Sequence[Any]) -> Iterator[str]:
    for p in parameters:
        if _is_argument(p):
            yield _argument(p) if p.required else f"[{_argument(p)}]"
    if any(not _is_argument(p) and not p.hidden for p in parameters):
        yield "[OPTIONS]"


def _options(parameters: Sequence[Any]) -> str:
    rows = [
        (_flags(p), _sentence(p.help), _default(p))
        for p in parameters
        if not getattr(p, "hidden", False)
    ]
    return table(["option", "", "default"], rows) if rows else ""


def _flags(parameter: Any) -> str:
    value = "" if parameter.is_flag or parameter.count else f" {_value(parameter)}"
    names = sorted(parameter.opts, key=len) + list(parameter.secondary_opts)
    shown = ", ".join(f"`{name}{value}`" for name in names)
    return f"{shown}, repeatable" if parameter.multiple else shown


def _value(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    words = re.search(r"int|float|Path", str(parameter.type_descriptor.annotation))
    return {"int": "N", "float": "NUMBER", "Path": "PATH"}.get(words[0] if words else "", "TEXT")


def _sentence(text: str | None) -> str:
    return (text or "").strip()


def _default(parameter: Any) -> str:
    shown = parameter.show_default
    if isinstance(shown, str):
        return shown
    value = parameter.default
    return (
        "" if value in (None, False, ()) or callable(value) else f"`{value}`".replace("True", "yes")
    )
