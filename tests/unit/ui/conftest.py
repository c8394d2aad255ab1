"""One home for all tests of pages; they only read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from shop_home import fill_shop

from lakeflow_meta.app import App
from lakeflow_meta.ui.server import Website


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A home that was worked with."""
    app = fill_shop(tmp_path_factory.mktemp("shop") / "shop")
    yield app
    app.local.workspace.close()


@pytest.fixture(scope="session")
def website(shop: App) -> Website:
    return Website(shop)
