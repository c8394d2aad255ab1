"""A workspace to serve."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_world import ServeWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ServeWorld]:
    made = ServeWorld(tmp_path)
    yield made
    made.close()
