"""A real headless Chromium, driven by Debian's chromedriver; its own profile, nothing of the web.

``LAKEFLOW_META_SKIP_BROWSER=1`` skips what needs it; without that a missing browser is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

SKIP = "LAKEFLOW_META_SKIP_BROWSER"
MISSING = (
    "Chromium and its driver are needed: run .ci/setup-browser (Debian: apt-get install chromium"
    f" chromium-driver), or set {SKIP}=1 to leave these tests out"
)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--window-size=1280,900",
)


def installed() -> tuple[str, str]:
    """The paths of the browser and its driver; a failure, or a skip where that was asked for."""
    if os.environ.get(SKIP):
        pytest.skip(f"{SKIP} is set")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.fail(MISSING)
    return browser, driver


@contextmanager
def open_browser(profile: Path) -> Iterator[Chrome]:
    """A browser with an empty profile; it ends with the block."""
    browser, driver = installed()
    options = Options()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = Chrome(options=options, service=Service(executable_path=driver))
    try:
        yield opened
    finally:
        opened.quit()


def command(browser: Chrome, name: str, **values: Any) -> Any:
    """A command of the DevTools protocol."""
    return browser.execute_cdp_cmd(name, values)


def dark(browser: Chrome, wanted: bool) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}]
    command(browser, "Emulation.setEmulatedMedia", features=features)


def resize(browser: Chrome, width: int, height: int = 900, scale: float = 1) -> None:
    """The page as on a screen of this size."""
    command(
        browser,
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=scale,
        mobile=False,
    )


def requested_hosts(browser: Chrome) -> set[str]:
    """Hosts, with ports, that pages asked for something since this was last called."""
    found = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.add(urlsplit(message["params"]["request"]["url"]).netloc)
    return found - {""}  # data: and about:


def console(browser: Chrome) -> list[str]:
    """What was written to the console: errors of scripts, of the policy, of missing files."""
    return [f"{entry['level']}: {entry['message']}" for entry in browser.get_log("browser")]
