"""The pages in a real browser: nothing complains, overflows or leaves the file, a keyboard suffices, and axe-core finds no fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invented_results import Workspace, theory_record

from reports.site.site import build

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[2] / ".axe/package/axe.min.js"


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
@pytest.mark.parametrize("width", [375, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_the_browser(browser: Any, judged: Path, name: str, width: int, scheme: str) -> None:
    look(browser, judged / f"{name}.html", width, scheme)


def test_the_page_without_a_ledger_in_the_browser(browser: Any, site: Path) -> None:
    look(browser, site / "classic.html", 375, "light")


@pytest.mark.parametrize("width", [375, 1280])
def test_theory_page_in_the_browser(browser: Any, workspace: Workspace, width: int) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=3)
    results = workspace.root / "results" / "theory" / "theory.json"
    results.parent.mkdir()
    long = (
        r"V_\lambda^*(s) = \lambda \log \lVert \exp\left( \frac{Q(s, \cdot)}{\lambda} \right) \rVert_1"
        r", \quad \max_a Q \le \sum_{t \ge 0} \gamma^t r_t"
    )
    results.write_text(json.dumps([theory_record(), theory_record(9, formula=long, figure=None)]))
    page = build(["classic"], workspace.root / "site").pages[-1]
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
    axe(browser, page, "dark")


@pytest.mark.parametrize("name", ["index", "classic"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(browser: Any, judged: Path, name: str, scheme: str) -> None:
    axe(browser, judged / f"{name}.html", scheme)


def axe(browser: Any, path: Path, scheme: str) -> None:
    """Run axe-core over a page with everything open; skips where it is not installed."""
    if not AXE.exists():
        pytest.skip(f"needs axe-core at {AXE}: make axe")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("axe.run()")
    faults = [
        (fault["id"], fault["help"], [node["target"] for node in fault["nodes"]][:3]) for fault in found["violations"]
    ]
    assert faults == [] and len(found["passes"]) > 15
    context.close()


def test_without_scripts_the_page_says_the_same(browser: Any, judged: Path) -> None:
    texts = []
    for scripts in (False, True):
        context = browser.new_context(java_script_enabled=scripts)
        page = context.new_page()
        page.goto((judged / "classic.html").as_uri())
        texts.append(
            [
                " ".join(each.split())
                for each in page.locator("main p:not(.named), main td, main h2, main h3").all_text_contents()
            ]
        )
        context.close()
    assert texts[0] == texts[1] and len(texts[0]) > 200


def test_a_seed_is_named_by_pointer_and_by_keyboard(browser: Any, judged: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((judged / "classic.html").as_uri())
    figure = page.locator("figure#figure-a2c-CartPole-v1-a2c-naive")
    figure.scroll_into_view_if_needed()
    named = figure.locator(".named")
    figure.focus()
    page.keyboard.press("ArrowRight")
    assert named.text_content() == "a2c-naive, seed 0"
    page.keyboard.press("ArrowRight")
    assert named.text_content() == "a2c-naive, seed 1"
    assert figure.locator(".hot").count() == 2, "one line of returns, and one of entropy"
    for panel in (0, 1):  # the ends of the first seed's lines: returns, entropy
        place = figure.evaluate(
            """(figure, panel) => {
                const path = figure.querySelectorAll('[data-seeds]')[panel * 2].children[0];
                const point = path.getPointAtLength(path.getTotalLength() * 0.995).matrixTransform(path.getScreenCTM());
                return [point.x, point.y];
            }""",
            panel,
        )
        page.mouse.move(*place)
        assert re.fullmatch(r"a2c-(naive|proper), seed \d", named.text_content())
        assert figure.locator(".hot").count() == 2
    page.keyboard.press("Escape")
    assert figure.locator(".hot").count() == 0
    context.close()


def test_arms_tables_and_filters_are_kept_in_the_address(browser: Any, judged: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto((judged / "classic.html").as_uri())
    assert page.locator("#a2c [data-arm='a2c-proper']:visible").count() > 5
    page.locator("#a2c fieldset").get_by_label("a2c-proper").uncheck()
    heads = page.locator("#table-a2c-returns th button")
    heads.nth(2).click()
    heads.nth(2).click()
    page.locator("#table-claims th button").first.click()
    page.locator("#a2c summary", has_text="Every seed").click()
    page.locator("#table-a2c-members input[type=search]").fill("proper")
    for _ in range(2):
        assert page.locator("#a2c [data-arm='a2c-proper']:visible").count() == 0
        assert page.locator("#a2c [data-arm='a2c-naive']:visible").count() > 5
        assert page.locator("#table-a2c-returns th[aria-sort]").get_attribute("aria-sort") == "descending"
        first = page.locator("#table-claims tbody tr td:first-child").all_text_contents()
        assert first == sorted(first)
        hidden = page.locator("#table-a2c-members tbody tr[hidden]").count()
        assert hidden == page.locator("#table-a2c-members tbody tr").count() / 2
        page.goto(page.url)  # what the address says comes back
    context.close()


def test_links_lead_somewhere_and_unfold_what_is_folded(browser: Any, judged: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    for name in ("index", "classic"):
        page.goto((judged / f"{name}.html").as_uri())
        missing = page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.getElementById(a.hash.slice(1))).map(a => a.href)"
        )
        assert missing == []
    page.goto((judged / "classic.html").as_uri() + "#table-a2c-members")
    assert page.locator("#table-a2c-members").is_visible()
    context.close()


def look(browser: Any, path: Path, width: int, scheme: str, question: str = "null") -> Any:
    """Open a page, check what holds for all, and return the answer to a question (JavaScript) about it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
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
    assert (
        page.evaluate(
            "[...document.querySelectorAll('svg')].filter(each => each.getBoundingClientRect().width < 200).length"
        )
        == 0
    )
    colors = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    light = [sum(map(int, color[4:-1].split(","))) / 3 for color in colors]
    assert (light[0] < 90 and light[1] > 200) if scheme == "light" else (light[0] > 200 and light[1] < 50)
    answer = page.evaluate(question)
    assert problems == []
    assert [url for url in requests if url != address and not url.startswith("data:")] == []
    context.close()
    return answer
