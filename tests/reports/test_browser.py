"""The pages in a real browser: nothing complains, nothing overflows, nothing leaves the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invented_results import Workspace, theory_record

from reports.site import build

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.mark.parametrize("name", ["index", "classic"])
@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_the_browser(browser: Any, site: Path, name: str, width: int, scheme: str) -> None:
    look(browser, site / f"{name}.html", width, scheme)


@pytest.mark.parametrize("width", [375, 1280])
def test_theory_page_in_the_browser(browser: Any, workspace: Workspace, width: int) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=3)
    results = workspace.root / "results" / "theory" / "theory.json"
    results.parent.mkdir()
    long = "V_λ^* (s) = λ log ‖ exp( frac{Q_λ^* (s,·)}{λ} ) ‖_1 = Q_λ^* (s,a) − λ log π_λ^* (a|s) ; max_a Q ≤ sum_{t≥0} γ^t r_t"
    results.write_text(json.dumps([theory_record(), theory_record(9, formula=long, figure=None)]))
    page = build(["classic"], workspace.root / "site")[-1]
    heights, line = look(
        browser,
        page,
        width,
        "light",
        "[[...document.querySelectorAll('math')].map(each => each.getBoundingClientRect().height),"
        " parseFloat(getComputedStyle(document.body).lineHeight)]",
    )
    # Laid out as formulas they are one to four lines of text high, whatever the fonts; taken apart into words it would be ten.
    assert len(heights) == 2 and all(0.8 * line < height < 5 * line for height in heights), "drawn as formulas"


def look(browser: Any, path: Path, width: int, scheme: str, question: str = "null") -> Any:
    """Open a page, check what holds for all, and return the answer to a question (JavaScript) about it."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True)
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    address = path.as_uri()
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('svg')].filter(each => each.getBoundingClientRect().width < 200).length") == 0
    colors = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    light = [sum(map(int, color[4:-1].split(","))) / 3 for color in colors]
    assert (light[0] < 90 and light[1] > 200) if scheme == "light" else (light[0] > 200 and light[1] < 50)
    answer = page.evaluate(question)
    assert problems == []
    assert [url for url in requests if url != address and not url.startswith("data:")] == []
    context.close()
    return answer
