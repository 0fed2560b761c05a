"""The pages in a real browser: nothing complains, overflows or leaves the file, a keyboard suffices, and axe-core finds no fault."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invented_results import CLAIMS, PUBLISHED, TASKS, Workspace, diverging, theory_record

from harness.schema.baseline import baseline_path
from harness.schema.suite import load_suite, suite_names
from reports.figures.forest import Group, Mark, Row, forest
from reports.figures.picture import Words
from reports.site.site import build
from reports.statistics.intervals import Estimate
from reports.statistics.scores import read_studies
from reports.statistics.summary.baseline import make
from reports.statistics.summary.readings import UNDECIDED
from reports.table import Table

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
AXE = ROOT / ".axe/package/axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with every kind of page: a ledger and none, a smoke test, statements."""
    made = Workspace(tmp_path_factory.mktemp("whole"))
    tasks = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]
    for name, pairs, its in (("classic", ("ppo", "a2c", "dqn"), tasks), ("smoke", ("ppo", "a2c"), tasks[:2])):
        made.suite(name, dict.fromkeys(pairs, its), published=PUBLISHED)
        made.claims(name, CLAIMS)
        for pair in pairs:
            for task in its:
                made.cell(
                    name, pair, task, edit=diverging("sppo-40", 3, 8) if (pair, task) == ("ppo", "Acrobot-v1") else None
                )
    for task in tasks:
        place = f"classic/a2c/{task}"
        made.record(place, *(made.episode(place, arm) for arm in ("a2c-naive", "a2c-proper")))
    path = made.root / "suites" / "smoke" / "suite.yaml"
    path.write_text(path.read_text() + "evidence: false\n")
    made.suite("bare", {"a2c": ["CartPole-v1"]})
    made.cell("bare", "a2c", "CartPole-v1", seeds=1)
    theory = made.root / "results" / "theory" / "theory.json"
    theory.parent.mkdir()
    theory.write_text(json.dumps([theory_record(), theory_record(9)]))
    shutil.copytree(ROOT / "results" / "coverage", made.root / "results" / "coverage")
    with contextlib.chdir(made.root):
        build([], made.root / "site")
    return made.root / "site"


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
    figure = page.locator("figure#figure-a2c-CartPole-v1")
    lines = figure.locator(".seed-lines")
    assert lines.count() == 4 and not any(each.is_visible() for each in lines.all()), "seeds are shown on demand"
    page.locator("#seeds").check()
    assert all(each.is_visible() for each in lines.all())
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
                const path = figure.querySelectorAll('[data-seeds]')[panel * 2].querySelector('path');
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
    elsewhere = page.locator("#answer [data-arm='a2c-proper'], #claim-better [data-arm='a2c-proper']")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    displayed = "found => found.map(each => getComputedStyle(each).display !== 'none')"
    assert elsewhere.count() > 2 and all(elsewhere.evaluate_all(displayed))
    page.locator(".legend[data-of=a2c]").get_by_label("a2c-proper").uncheck()
    assert not any(elsewhere.evaluate_all(displayed)), "in all figures"
    heads = page.locator("#table-a2c-returns th button")
    heads.nth(2).click()
    heads.nth(2).click()
    page.locator("#table-a2c-members input[type=search]").fill("proper")
    for _ in range(2):
        assert page.locator("#a2c [data-arm='a2c-proper']:visible").count() == 0
        assert page.locator("#a2c [data-arm='a2c-naive']:visible").count() > 5
        assert page.locator("#table-a2c-returns th[aria-sort]").get_attribute("aria-sort") == "descending"
        hidden = page.locator("#table-a2c-members tbody tr[hidden]").count()
        assert hidden == page.locator("#table-a2c-members tbody tr").count() / 2
        page.goto(page.url)  # what the address says comes back
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    context.close()


def test_links_lead_somewhere_and_unfold_what_is_folded(browser: Any, judged: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    for name in ("index", "classic"):
        page.goto((judged / f"{name}.html").as_uri())
        missing = page.evaluate(
            "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.getElementById(a.getAttribute('href').slice(1)))"
            ".map(a => a.getAttribute('href'))"
        )
        assert missing == []
    page.goto((judged / "classic.html").as_uri() + "#table-a2c-members")
    assert page.locator("#table-a2c-members").is_visible()
    context.close()


@pytest.mark.parametrize(("many", "shown"), [(3, [True, True, True]), (5, [True, False, False])])
def test_a_page_of_many_curves_and_changes_is_short_and_shows_the_first(
    browser: Any, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, many: int, shown: list[bool]
) -> None:
    tasks = [f"Task-{number}" for number in range(many)]
    for task in tasks:
        monkeypatch.setitem(TASKS, task, (0.0, 500.0))
    workspace.suite("classic", dict.fromkeys(("a2c", "dqn", "ppo"), tasks), seeds="0-2")
    for pair in ("a2c", "dqn", "ppo"):
        for task in tasks:
            workspace.cell("classic", pair, task, seeds=3)
    suite = load_suite("classic")
    kept = json.loads(make(suite, read_studies(suite, workspace.results)[0], []))
    for scores in [scores for its in kept["scores"].values() for arms in its.values() for scores in arms.values()]:
        scores["0"] += 0.01
    baseline_path("classic").write_text(json.dumps(kept))
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto(build(["classic"], workspace.root / "site").pages[1].as_uri())
    assert 4 * 900 < page.evaluate("document.documentElement.scrollHeight") <= 8 * 900
    assert [page.locator(f"#figure-{pair}-Task-0").is_visible() for pair in ("a2c", "dqn", "ppo")] == shown
    assert page.locator("#since summary").text_content() == f"{12 * many} differences, none beyond noise"


OVERLAPS = """() => {
  const boxes = [], lines = [], faults = [];
  const hidden = element => !element.checkVisibility() || element.closest(".skip, .facts thead, [aria-hidden], math");
  const add = (of, text, rect) => {
    if (rect.width > 1 && rect.height > 1) of.push({ text, x: rect.left, y: rect.top, r: rect.right, b: rect.bottom });
  };
  for (const each of document.querySelectorAll("svg text")) if (!hidden(each)) add(boxes, each.textContent, each.getBoundingClientRect());
  for (const each of document.querySelectorAll("figure > svg path[stroke], .forest .zero")) {
    const rect = each.getBoundingClientRect();
    const dark = getComputedStyle(each).stroke === getComputedStyle(document.body).color;
    const upright = rect.width < 2 && rect.height > 8 && dark && !each.closest("defs");
    if (upright && !hidden(each)) lines.push({ text: "a line", x: rect.left, y: rect.top, r: rect.right, b: rect.bottom });
  }
  const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, parent = node.parentElement;
    if (!node.data.trim() || parent.closest("svg, .scroll") || hidden(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const rect of range.getClientRects()) add(boxes, node.data.trim(), rect);
  }
  boxes.sort((a, b) => a.y - b.y);
  const clash = (a, b) => {
    const wide = Math.min(a.r, b.r) - Math.max(a.x, b.x), high = Math.min(a.b, b.b) - Math.max(a.y, b.y);
    return wide > (b.text === "a line" ? 0 : 2) && high > 0.1 * Math.min(a.b - a.y, b.b - b.y);
  };
  boxes.forEach((a, at) => {
    const below = boxes.slice(at + 1, at + 200).filter(b => b.y < a.b);
    for (const b of [...below, ...lines]) if (clash(a, b)) faults.push(`${a.text} | ${b.text}`);
  });
  return [faults, boxes.length];
}"""
"""Texts that lie upon each other or are crossed by the line of no difference, and how many were measured. Tables scroll on their own."""


@pytest.mark.parametrize("width", [390, 1400])
def test_no_text_lies_upon_another(browser: Any, whole: Path, width: int) -> None:
    page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
    measured = 0
    for path in sorted(whole.glob("*.html")):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        faults, boxes = page.evaluate(OVERLAPS)
        assert faults == [], path.name
        measured += boxes
    assert measured > 400
    page.goto((whole / "classic.html").as_uri())
    page.evaluate("document.querySelectorAll('.forest .label').forEach(each => each.setAttribute('y', '20'))")
    assert page.evaluate(OVERLAPS)[0], "the measure finds what it should"


def test_summaries_within_a_claim_take_a_line_and_have_one_mark(browser: Any, whole: Path) -> None:
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto((whole / "classic.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = page.evaluate(
        """[...document.querySelectorAll('.card details details > summary')].map(each => {
          const style = getComputedStyle(each), lines = each.getBoundingClientRect().height / parseFloat(style.lineHeight);
          return [Math.round(lines), style.display, getComputedStyle(each, '::before').content];
        })"""
    )
    assert len(found) > 5 and {*map(tuple, found)} == {(1, "list-item", "none")}


WORDS = """limit => {
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let words = 0;
    while (walk.nextNode()) {
        const node = walk.currentNode, range = document.createRange();
        if (!node.parentElement.checkVisibility() || node.parentElement.closest("script, style, .skip")) continue;
        range.selectNodeContents(node);
        if (range.getBoundingClientRect().top < limit) words += node.data.split(/\\s+/).filter(Boolean).length;
    }
    return words;
}"""
"""How many words are to be seen above a place."""


def test_the_answer_is_on_the_first_screen(browser: Any, whole: Path) -> None:
    for width, height in ((1400, 900), (390, 844)):
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        for name in ("index", "classic"):
            page.goto((whole / f"{name}.html").as_uri())
            ends = page.evaluate(
                "[...document.querySelectorAll('.answer, .forest .row')].slice(0, 4).map(each => each.getBoundingClientRect().bottom)"
            )
            assert len(ends) == 4 and max(ends) < height
        page.goto((whole / "index.html").as_uri())
        words = page.evaluate(WORDS, 3 * height)
        assert 100 < words <= 500
        order = page.evaluate(
            "[...document.querySelectorAll('main h1, main h2')].map(each => each.textContent.split('\\n')[0].trim())"
        )
        assert order[0].startswith("Does soft beat hard")
        places = [
            next(at for at, each in enumerate(order) if each.startswith(start))
            for start in ("Soft minus hard", "What to do", "The ledger", "Apart")
        ]
        assert places == sorted(places) and places[-1] >= len(order) - 2, "smoke tests stand last"


@pytest.mark.usefixtures("no_ink")
def test_our_own_front_page_has_few_words(browser: Any, tmp_path: Path) -> None:
    """Built of the results that are in git."""
    with contextlib.chdir(ROOT):
        there = [
            name for name in suite_names() if load_suite(name).evidence and any(Path("results", name).glob("*/*/*"))
        ]
        build(there, tmp_path / "site")
    for width, height in ((1400, 900), (390, 844)):
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.goto((tmp_path / "site/index.html").as_uri())
        assert 100 < page.evaluate(WORDS, 3 * height) <= 500
        box = page.locator(".forest").first.bounding_box()
        assert box is not None and box["y"] + box["height"] <= height, "the whole forest is on the first screen"


def test_a_list_of_contents_stays_where_it_is(browser: Any, whole: Path) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto((whole / "theory.html").as_uri())
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    box = page.locator("ol.contents").bounding_box()
    assert box is not None and box["y"] + box["height"] < 0


def test_the_episodes_of_an_arm_are_hidden_with_it(browser: Any, whole: Path) -> None:
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto((whole / "classic.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    strips = page.locator(".episode[data-arm='a2c-proper']")
    assert strips.count() == 3 and all(each.is_visible() for each in strips.all())
    page.locator(".legend[data-of=a2c]").get_by_label("a2c-proper").uncheck()
    assert not any(each.is_visible() for each in strips.all())
    assert page.locator(".episode[data-arm='a2c-naive']").first.is_visible()


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)])
@pytest.mark.parametrize("many", [17, 27])
def test_all_rows_of_the_answer_are_on_the_first_screen(
    browser: Any, whole: Path, width: int, height: int, many: int
) -> None:
    found, arm = Estimate(0.01, -0.02, 0.04), "sppo-38-s4@temperature=0.03"
    suites = ["Classic control"] * 4 + ["Pendulum", "MinAtar", "Sensitivity to the learning rate", "Continuous control"]
    pairs = [(suite, f"invented-pair-{at}") for at, suite in enumerate(suites)]
    groups = [
        Group(suite, pair, "3 tasks × 10 seeds", [Row(pair, "#", [Mark(arm, "ppo", found, 0.01, UNDECIDED)])] * share)
        for (suite, pair), share in zip(pairs, [many - 16, 5, 2, 1, 1, 1, 1, 5], strict=True)
    ]
    drawn = forest(Words("answer", "t", "c", "a", "c"), groups, found, Table("t", "t", "", [], [])).page
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto((whole / "index.html").as_uri())
    page.evaluate("drawn => document.querySelector('.forest').outerHTML = drawn", drawn)
    assert page.locator(".forest").first.locator(".row").count() == many
    box = page.locator(".forest").first.bounding_box()
    assert box is not None and box["y"] + box["height"] <= height
    assert page.evaluate(OVERLAPS)[0] == []


def test_a_suites_page_is_short_before_anything_is_opened_and_its_contents_stay_in_sight(
    browser: Any, whole: Path
) -> None:
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto((whole / "classic.html").as_uri())
    assert page.evaluate("document.documentElement.scrollHeight") <= 8 * 900
    page.evaluate("scrollTo(0, 3000)")
    box = page.locator(".contents a").first.bounding_box()
    assert box is not None and 0 <= box["y"] < 100
    main = page.locator("main p").first.bounding_box()
    assert main is not None and main["width"] > 900, "text uses the width"


def test_tables_wider_than_the_page_show_that_they_scroll(browser: Any, whole: Path) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto((whole / "classic.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    wide = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth)"
        ".map(each => getComputedStyle(each).backgroundImage.split('gradient').length)"
    )
    assert len(wide) > 5 and set(wide) == {5}, "a shade at each end, covered where nothing more is to be seen"


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
            "[...document.querySelectorAll('figure > svg')].filter(each => each.getBoundingClientRect().width < 200).length"
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
