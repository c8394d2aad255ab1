"""The page as a process of its own: it says where it is, answers, and ends when it is asked to."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess

from cli_process import Cli


def test_the_page_is_served_until_it_is_asked_to_end(cli: Cli) -> None:
    process = subprocess.Popen(
        cli.command("--json", "ui", "--port", "0"),
        cwd=cli.directory,
        env=cli.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = "".join(iter(lambda: process.stdout.readline(), "}\n")) + "}"
        started = json.loads(said)
        assert started["url"] == f"http://127.0.0.1:{started['port']}/"
        connection = http.client.HTTPConnection("127.0.0.1", started["port"], timeout=20)
        connection.request("GET", "/")
        assert b"Nothing is recorded yet" in connection.getresponse().read()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "ended\n")
    assert not cli.used_spark
