"""Make the pictures of docs/ui.md: the pages of a home that was worked with, in real Chromium.

Run by `make screenshots`. Each is kept below 150 KB.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from headless_browser import command, dark, open_browser, resize  # noqa: E402 (found by the line above)
from selenium.webdriver import Chrome  # noqa: E402
from shop_home import fill_shop  # noqa: E402

from lakeflow_meta.ui.server import Server, Website  # noqa: E402

MOST_BYTES = 150_000


def take(browser: Chrome, address: str, name: str, width: int, height: int) -> None:
    """One picture of the upper part of a page."""
    resize(browser, width, height)
    browser.get(address)
    content = command(browser, "Page.captureScreenshot", format="png", captureBeyondViewport=False)
    data = base64.b64decode(content["data"])
    if len(data) > MOST_BYTES:
        sys.exit(f"{name}.png has {len(data):,} bytes; make it smaller")
    (HERE / f"{name}.png").write_bytes(data)
    sys.stdout.write(f"docs/images/{name}.png: {len(data):,} bytes\n")


def main() -> None:
    """All pictures."""
    with tempfile.TemporaryDirectory() as folder:
        app = fill_shop(Path(folder) / "shop")
        good, bad = (
            next(r for r in app.jobs.list_runs() if r.job_name == name)
            for name in ("daily_orders", "stock_levels")
        )
        server = Server(Website(app), "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = server.address
        with open_browser(Path(folder) / "profile") as browser:
            dark(browser, False)
            browser.get(f"{root}plan?again=1")
            take(browser, root, "overview", 1180, 760)
            take(browser, f"{root}module?name=daily_orders", "module", 1180, 620)
            take(browser, f"{root}plan", "plan", 1180, 480)
            take(browser, f"{root}run?id={good.run_id}", "run", 1180, 900)
            take(browser, f"{root}task?run={bad.run_id}&key=check_stock", "task", 1180, 700)
            take(browser, f"{root}run?id={bad.run_id}", "run-narrow", 360, 720)
            dark(browser, True)
            take(browser, f"{root}files", "files-dark", 1180, 620)
        server.shutdown()
        server.server_close()
        app.local.workspace.close()


if __name__ == "__main__":
    main()
