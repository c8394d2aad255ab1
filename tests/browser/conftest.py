"""One browser, and one home with its pages, for all tests of this folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from headless_browser import console, dark, open_browser, requested_hosts, resize
from selenium.webdriver import Chrome
from shop_home import fill_shop

from lakeflow_meta.app import App
from lakeflow_meta.ui.server import Server, Website


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with open_browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def shop(chrome: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A home that was worked with; made only where there is a browser."""
    app = fill_shop(tmp_path_factory.mktemp("shop") / "shop")
    yield app
    app.local.workspace.close()


@pytest.fixture(scope="session")
def address(shop: App) -> Iterator[str]:
    with Server(Website(shop), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(chrome: Chrome, address: str) -> Iterator[Chrome]:
    """The browser at rest. Afterwards: nothing in its console, and no other host was asked."""
    resize(chrome, 1280)
    dark(chrome, False)
    chrome.get(address)
    console(chrome)
    requested_hosts(chrome)
    yield chrome
    assert console(chrome) == []
    assert requested_hosts(chrome) <= {address.removeprefix("http://").rstrip("/")}
