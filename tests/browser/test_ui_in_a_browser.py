"""The pages in a real browser: by keyboard alone, dark, narrow, printed, without scripts."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from headless_browser import command, console, dark, resize
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from lakeflow_meta.app import App
from lakeflow_meta.ports import RunState
from lakeflow_meta.ui.blocks import place
from lakeflow_meta.ui.one_file import report
from lakeflow_meta.ui.site import MENU, address_of


def press(browser: Chrome, *keys: str) -> None:
    ActionChains(browser, duration=0).send_keys(*keys).perform()


def tab_to(browser: Chrome, address: re.Pattern[str], most: int = 60) -> None:
    """Press Tab until a link has the focus whose address looks like that."""
    for _ in range(most):
        press(browser, Keys.TAB)
        href = browser.execute_script(
            "const a = document.activeElement; return a.getAttribute('href')"
        )
        if href and address.search(href):
            return
    raise AssertionError(f"no Tab led to {address.pattern}")


def wait_for(browser: Chrome, selector: str, text: str) -> None:
    """Wait until an element says something; the page around it may be another by then."""
    waiting = WebDriverWait(browser, 15, 0.05, [WebDriverException])
    waiting.until(lambda b: text in b.find_element(By.CSS_SELECTOR, selector).text)


def focus_is_seen(browser: Chrome) -> bool:
    style = (
        "const e = document.activeElement, s = getComputedStyle(e);"
        "const b = e.querySelector('.box');"
        "return s.outlineStyle !== 'none' || (b && getComputedStyle(b).strokeWidth === '4px')"
    )
    return bool(browser.execute_script(f"{style}"))


def luminance(browser: Chrome, selector: str, what: str) -> float:
    text = browser.execute_script(
        f"return getComputedStyle(document.querySelector('{selector}')).{what}"
    )
    parts = [int(part) / 255 for part in re.findall(r"\d+", text)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(browser: Chrome, selector: str, back: str) -> float:
    one = luminance(browser, selector, "color")
    other = luminance(browser, back, "backgroundColor")
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def sideways(browser: Chrome) -> int:
    """How many pixels the page itself is too wide."""
    return int(
        browser.execute_script(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    )


def test_from_the_overview_to_a_log_by_keyboard_alone(browser: Chrome, address: str) -> None:
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the content"
    assert browser.switch_to.active_element.rect["x"] >= 0
    press(browser, Keys.ENTER)
    tab_to(browser, re.compile("^/module[?]name=stock_levels"))
    assert focus_is_seen(browser)
    press(browser, Keys.ENTER)
    wait_for(browser, "h1", "stock_levels")
    tab_to(browser, re.compile("^/task[?]key=check_stock"))  # the node in the graph
    assert focus_is_seen(browser)
    tab_to(browser, re.compile("^/run[?]"))
    press(browser, Keys.ENTER)
    wait_for(browser, "h1", "Run ")
    tab_to(browser, re.compile("^/task[?].*key=check_stock"))
    press(browser, Keys.ENTER)
    wait_for(browser, "h1", "check_stock")
    tab_to(browser, re.compile("^/log[?]"))
    press(browser, Keys.ENTER)
    wait_for(browser, "body", "12 pieces are missing")


def test_a_node_of_the_graph_leads_to_its_task(browser: Chrome, address: str) -> None:
    browser.get(f"{address}module?name=daily_orders")
    browser.find_element(By.CSS_SELECTOR, ".graph a[href*='key=joined'] .name").click()
    wait_for(browser, "h1", "joined")
    assert "rows written: 1234" in browser.find_element(By.CSS_SELECTOR, ".output").text


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_can_be_read_light_and_dark(browser: Chrome, address: str, is_dark: bool) -> None:
    dark(browser, is_dark)
    browser.get(f"{address}runs")
    assert (luminance(browser, "body", "backgroundColor") < 0.1) is is_dark
    assert contrast(browser, "body", "body") > 10
    assert contrast(browser, "header nav a", "body") >= 4.5
    assert contrast(browser, "td a", "table") >= 4.5
    for tone in ("good", "bad"):
        assert contrast(browser, f".mark.{tone}", f".mark.{tone}") >= 4.5


@pytest.mark.parametrize(("width", "height"), [(320, 640), (640, 450)])
def test_no_page_scrolls_sideways_narrow_or_zoomed_twice(
    browser: Chrome, address: str, shop: App, width: int, height: int
) -> None:
    resize(browser, width, height, scale=2)
    run = next(r.run_id for r in shop.jobs.list_runs() if r.job_name == "stock_levels")
    singles = ["/module?name=daily_orders", f"/run?id={run}", f"/task?run={run}&key=check_stock",
               "/table?name=shop.silver.orders", "/plan?again=1"]  # fmt: skip
    for path in [*(address_of(place(kind)) for _, kind in MENU), *singles]:
        browser.get(f"{address.rstrip('/')}{path}")
        assert sideways(browser) <= 0, path


@pytest.fixture
def no_scripts(browser: Chrome) -> Iterator[Chrome]:
    command(browser, "Emulation.setScriptExecutionDisabled", value=True)
    yield browser
    command(browser, "Emulation.setScriptExecutionDisabled", value=False)


def test_all_works_without_scripts(no_scripts: Chrome, address: str) -> None:
    browser = no_scripts
    browser.get(f"{address}files")
    browser.find_element(By.NAME, "path").send_keys("till_3")
    browser.find_element(By.CSS_SELECTOR, ".filter button").click()
    wait_for(browser, "caption", "files 1 to 28 of 28")
    browser.get(f"{address}files")
    browser.find_element(By.CSS_SELECTOR, "a[rel=next]").click()
    wait_for(browser, "caption", "files 101 to 200 of 250")
    browser.get(f"{address}plan?again=1")
    wait_for(browser, ".lines", "update stock_levels")
    assert browser.current_url == f"{address}plan"


def test_a_run_that_goes_on_is_refreshed_and_keeps_the_focus(
    browser: Chrome, address: str, shop: App
) -> None:
    gate = shop.project_root / "go"
    code = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)\n"
    (shop.project_root / "wait.py").write_text(code)
    task = {"task_key": "waits", "spark_python_task": {"python_file": "wait.py"}}
    job_id = shop.jobs.create_job({"name": "slow", "tasks": [task]})
    run_id = shop.jobs.run_job(job_id, {})
    browser.get(f"{address}run?id={run_id}")
    assert browser.find_element(By.CSS_SELECTOR, ".verdict").text.endswith("running")
    tab_to(browser, re.compile("^/task"))
    gate.write_text("")
    assert shop.jobs.follow_run(run_id).state is RunState.SUCCESS
    wait_for(browser, ".verdict", "success")
    assert "/task" in (browser.switch_to.active_element.get_dom_attribute("href") or "")


def test_what_is_read_aloud_is_named(browser: Chrome, address: str, shop: App) -> None:
    run = next(r.run_id for r in shop.jobs.list_runs() if r.job_name == "stock_levels")
    browser.get(f"{address}run?id={run}")
    nodes = command(browser, "Accessibility.getFullAXTree")["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    }
    roles = {role for role, _ in named}
    assert {"main", "navigation", "banner", "contentinfo", "table", "rowheader"} <= roles
    assert ("navigation", "Pages") in named
    assert any(role == "link" and "check_stock: failed" in name for role, name in named)
    nameless = {role for role, name in named if role in ("link", "table", "region") and not name}
    assert nameless == set()


def test_it_moves_only_where_people_want_that(browser: Chrome, address: str) -> None:
    rules = (
        "return [...document.styleSheets[0].cssRules].flatMap(r => [...(r.cssRules || [r])])"
        ".filter(r => r.style && r.style.animationName)"
        ".map(r => r.parentRule && r.parentRule.conditionText)"
    )
    assert browser.execute_script(rules) == ["(prefers-reduced-motion: no-preference)"]


def test_the_report_opens_from_disk_and_prints(chrome: Chrome, shop: App, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(shop))
    resize(chrome, 320, 640)
    console(chrome)
    chrome.get(file.as_uri())
    assert sideways(chrome) <= 0
    resize(chrome, 1280)
    chrome.find_element(By.LINK_TEXT, "Runs").click()
    assert "#part-" in chrome.current_url
    assert luminance(chrome, "header nav a", "color") < 0.3  # the style sheet was let in
    assert console(chrome) == []
    pdf = base64.b64decode(command(chrome, "Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF")
