"""Tasks that start while another thread imports pyspark, which takes half a second."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, sys, threading
from lakeflow_meta.backends.local.tasks.spark_on_demand import asked_sessions

def begin(_answer=object()):
    with asked_sessions(lambda: _answer):
        pass

if sys.argv[1] == "hooked before":
    begin()
thread = threading.Thread(target=importlib.import_module, args=("pyspark.sql",))
thread.start()
begun = 0
while thread.is_alive():
    begin()
    begun += 1
thread.join()
from pyspark.sql import SparkSession
answer = object()
with asked_sessions(lambda: answer):
    assert SparkSession.getActiveSession() is answer
print("begun" if begun > 10 else begun)
"""


@pytest.mark.parametrize("when", ["hooked before", "hooked meanwhile"])
def test_a_task_may_start_while_another_one_imports_pyspark(when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, when], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "begun"), done.stderr
