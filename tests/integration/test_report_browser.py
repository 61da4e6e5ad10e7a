"""The report page in a real browser: opened from disk, used by mouse, keyboard and link, in light, dark and small."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from halfiqa_ray import storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.figures.dots import section2
from halfiqa_ray.tables.stored.reading import find_run
from tests.report import pages, planted_report
from tests.report.page.test_page import HOSTILE

GRID = Grid(2, 3)
FULL = GRID.full
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
MASKED = 0b000110  # blocks 1 and 2
PHOTO = "folder/000011.jpg"
NEVER_IDLE = "window.requestIdleCallback = () => 0;"
NO_FRAMES = NEVER_IDLE + "window.IntersectionObserver = class { observe() {} unobserve() {} };"
WITHOUT_PICTURE = """number => [...document.querySelectorAll(`#gallery-${number} img`)]
  .filter((image) => !image.complete || !image.naturalWidth).length"""
PHOTO_OF_LINK = "({ hash }) => new URLSearchParams(hash.slice(1)).get('photo')"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A data set with everything but votes' names that are harmless, and one of photos that nobody scored."""
    output = tmp_path_factory.mktemp("report")
    table, half = planted_report.plant(output, HOSTILE)
    planted_report.measure(output, table, half)
    planted_report.zero(output, table, half)
    planted_report.make_tables(output)
    planted_report.plant(output, dataset="own", mos=False, levels=False, splits=(), synthetic=False, count=5)
    broken = next(row["uri"] for row in rows(output, "manifest", "own") if row["image_id"] == "folder/000000.jpg")
    Path(broken).write_bytes(b"not a photo")
    return output


def rows(output, table, dataset="planted"):
    files = storage.list_files(f"{output}/{table}/dataset={dataset}", ".parquet", recursive=True)
    return [row for file in files for row in storage.read_table(file).to_pylist()]


@pytest.fixture(scope="module")
def file(output):
    figures = {"planted": [section2(str(output), find_run(str(output), "planted"))]}
    pages.write(output, figures)
    return f"file://{output}/report/index.html"


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium on the PATH: apt-get install chromium")
        pytest.skip("no chromium on the PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, file):
    """Opens the page at a hash; at the end nothing may have gone wrong or been asked of any network."""
    contexts, problems, requests = [], [], []

    def visit(hash="", script="", **settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.add_init_script(script)
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file + hash)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []
    assert {url.split("#")[0] for url in requests if not url.startswith("data:")} <= {file}


@pytest.fixture(scope="module")
def stored(output):
    """Rank rows by image id."""
    return {row["image_id"]: row for row in rows(output, "rank")}


def number(text):
    return float(text.replace("−", "-"))


def score(page):
    return number(page.locator("#score").inner_text())


def open_photo(page, name):
    page.locator(".gallery a", has=page.get_by_text(name, exact=True)).first.click()
    page.locator("#explorer[open]").wait_for()


def block(page, number):
    return page.locator(f"[data-block='{number}']")


def kept(page):
    pressed = [page.locator(f"[data-block='{b}']").get_attribute("aria-pressed") for b in range(GRID.blocks)]
    return sum(1 << b for b, is_pressed in enumerate(pressed) if is_pressed == "true")


def test_clicking_blocks_gives_the_models_own_scores(visit, stored):
    page = visit()
    page.locator(".tabs a", has_text="planted").click()
    open_photo(page, PHOTO)
    scores = stored[PHOTO]["subset_scores"]
    state = FULL
    page_error = float(re.search(r"is ([\d.e-]+) MOS", page.locator("#photos-1").text_content())[1])
    assert 0 < page_error < 1e-4
    for clicked in (1, 2, 5, 0, 1, 3, 4, 2):
        block(page, clicked).click()
        state ^= 1 << clicked
        assert kept(page) == state
        assert score(page) == pytest.approx(scores[state], abs=page_error * 1.1 + 5e-4)
        change = page.locator("#change").inner_text()
        assert number(change) == pytest.approx(scores[state] - scores[FULL], abs=2 * page_error + 6e-4)
        assert page.locator("#kept").inner_text() == f"{state.bit_count()} of 6"
    # Every subset, by the page's own function, to the error that it states.
    photo = next(i for i, p in enumerate(page.evaluate("dataSets[1].photos")) if p["id"] == PHOTO)
    for_all = page.evaluate(f"[...restoreScores(readPhoto(1, {photo}))]")
    assert max(abs(a - b) for a, b in zip(for_all, scores, strict=True)) <= page_error * 1.06


def test_buttons_keep_the_halves_and_subsets_that_they_name(visit, stored):
    page = visit(f"#photo={PHOTO}&data=planted")
    row = stored[PHOTO]
    scores = row["subset_scores"]
    important = row["important_level_plcc"]
    change = [abs(value - scores[FULL]) for value in scores]
    halves = [int(half) for half in GRID.halves()]
    wanted = {
        "important": important,
        "trivial": FULL ^ important,
        "best": min(halves, key=change.__getitem__),
        "worst": max(halves, key=change.__getitem__),
        "none": 0,
        "all": FULL,
    }
    for name, subset in wanted.items():
        page.locator(f"[data-keep={name}]").click()
        assert kept(page) == subset
    block(page, 0).click()
    page.locator("[data-keep=invert]").click()
    assert kept(page) == 1
    page.locator("#rule").select_option("shapley")
    page.locator("[data-keep=important]").click()
    assert kept(page) == row["important_shapley"]
    for size in (2, 4):
        of_size = [s for s in range(FULL + 1) if s.bit_count() == size]
        for column, choose in ((0, min), (1, max)):
            page.locator("#sizes tr").nth(size).locator("button").nth(column).click()
            assert change[kept(page)] == pytest.approx(choose(change[s] for s in of_size), abs=2e-4)


def test_values_measures_and_zeroed_scores_are_the_stored_ones(visit, stored, output):
    tested = next(name for name, row in stored.items() if row["split"] == "test" and name.startswith("folder"))
    page = visit(f"#photo={tested}&data=planted")
    listed = dict(
        zip(*(page.locator(f"#values li span:nth-child({n})").all_inner_texts() for n in (1, 3)), strict=True)
    )
    for b, value in enumerate(stored[tested]["shapley"]):
        shown = number(listed[f"row {b // 3 + 1} column {b % 3 + 1}"])
        assert shown == pytest.approx(value, rel=0.06, abs=1e-9)
    page.locator("#overlay").select_option("saliency")
    means = next(
        row["block_means"]
        for row in rows(output, "measures")
        if (row["image_id"], row["measure"]) == (tested, "saliency")
    )
    said = page.locator(".blocks .said").all_inner_texts()
    assert [number(text) for text in said] == pytest.approx(means, rel=0.06)
    zeroed = [row for row in rows(output, "zeroed") if row["image_id"] == tested and row["ranking"] == "level_plcc"]
    cells = {tr.split("\t")[0]: tr.split("\t")[1:] for tr in page.locator("#zeroed tr").all_inner_texts()}
    assert set(cells) == {"triq", "dbcnn"}
    important = sorted(row["score"] for row in zeroed if row["zeroed_half"] == "important")
    assert sorted(number(row[1]) for row in cells.values()) == pytest.approx(important, abs=6e-4)


def test_everything_can_be_done_from_the_keyboard(visit, stored):
    page = visit(f"#photo={PHOTO}&data=planted")
    assert block(page, 0).evaluate("e => e === document.activeElement")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")  # there is no third row
    assert block(page, 4).evaluate("e => e === document.activeElement")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert kept(page) == FULL ^ 0b011000
    page.keyboard.press("u")
    assert kept(page) == FULL ^ 0b010000
    page.keyboard.press("u")
    assert kept(page) == FULL
    page.keyboard.press("u")  # nothing is left to undo
    assert page.locator("[data-step=undo]").is_disabled()
    page.keyboard.press("r")
    assert kept(page) == FULL ^ 0b010000
    page.keyboard.press("i")
    assert kept(page) == 0b010000
    assert page.locator("[data-step=redo]").is_disabled()
    important = stored[PHOTO]["important_level_plcc"]
    for key, subset in {"n": 0, "a": FULL, "h": important, "t": FULL ^ important}.items():
        page.keyboard.press(key)
        assert kept(page) == subset
    # Only one block is in the order of Tab; it leads on to the buttons.
    assert page.locator(".blocks [tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.keep") == "important"
    name = page.locator("#explorer-name").inner_text()
    page.keyboard.press(".")
    assert page.locator("#explorer-name").inner_text() != name
    page.keyboard.press(",")
    assert page.locator("#explorer-name").inner_text() == name
    page.keyboard.press("Escape")
    assert page.locator("#explorer").is_hidden()
    assert page.evaluate("location.hash") == ""


def test_a_screen_reader_is_told_blocks_and_scores(visit, stored):
    page = visit(f"#photo={PHOTO}&data=planted&kept={FULL ^ MASKED}")
    labels = [block(page, b).get_attribute("aria-label") for b in range(6)]
    assert labels == [f"block row {row} column {column}" for row in (1, 2) for column in (1, 2, 3)]
    pressed = [block(page, b).get_attribute("aria-pressed") for b in range(6)]
    assert [pressed[0], pressed[1], pressed[5]] == ["true", "false", "true"]
    block(page, 5).click()
    page.wait_for_timeout(300)
    subset = FULL ^ MASKED ^ 0b100000
    said = page.locator("[role=status]").text_content()
    value = stored[PHOTO]["subset_scores"][subset]
    assert re.fullmatch(rf"Score {value:.3f}\d?, [\d.]+ (above|below) the whole photo, 3 of 6 blocks kept\.", said)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a, [role=group], [role=region]")]
          .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.labels?.length || e.textContent.trim()))
          .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_a_link_restores_a_photo_and_its_blocks(visit, stored):
    page = visit(f"#photo={PHOTO}&kept={MASKED}&data=planted")
    assert kept(page) == MASKED
    assert score(page) == pytest.approx(stored[PHOTO]["subset_scores"][MASKED], abs=6e-4)
    block(page, 0).click()
    link = page.evaluate("location.href")
    again = visit(link[link.index("#") :])
    assert kept(again) == MASKED | 1
    assert again.locator("#explorer-name").inner_text() == PHOTO
    # A link that is followed while the page is open, one without blocks, and ones that lead nowhere.
    again.evaluate("location.hash = '#photo=folder/000012.jpg&data=planted&kept=9'")
    again.locator("#explorer-name", has_text="000012").wait_for()
    assert kept(again) == 9
    again.evaluate("location.hash = '#photo=folder/000011.jpg&data=planted&kept=999999'")
    again.locator("#explorer-name", has_text="000011").wait_for()
    assert kept(again) == FULL
    for nowhere in ("no such&data=planted", "%3Cimg src=x%3E", "x&data=other", ""):
        again.evaluate("hash => { location.hash = hash; }", f"#photo={nowhere}")
        again.locator("#explorer").wait_for(state="hidden")
        again.locator("#not-found", has_text="This page has no photo").wait_for()
        again.evaluate("location.hash = '#photo=folder/000011.jpg&data=planted'")
        again.locator("#explorer[open]").wait_for()
        assert again.locator("#not-found").is_hidden()


def test_hostile_names_do_nothing_and_open(visit, stored):
    page = visit()
    page.locator(".tabs a", has_text="planted").click()
    ids = page.evaluate(f"[...document.querySelectorAll('#gallery-1 a')].map({PHOTO_OF_LINK})")
    for name in HOSTILE:
        page.locator("#gallery-1 a").nth(ids.index(name)).click()
        page.locator("#explorer[open]").wait_for()
        assert score(page) == pytest.approx(stored[name]["score"], abs=6e-4)
        assert page.evaluate(f"({PHOTO_OF_LINK})(location)") == name
        page.keyboard.press("Escape")
        page.locator("#explorer[open]").wait_for(state="detached")
    page.locator("form[data-gallery='1'] [name=text]").fill("onerror=alert(1)")
    assert page.locator("#gallery-1 a").count() == 1
    assert page.evaluate("document.querySelectorAll('[onerror], [onmouseover], [onload], main script').length") == 0


def test_photos_are_filtered_and_sorted(visit, stored):
    page = visit()
    page.locator(".tabs a", has_text="planted").click()
    form = page.locator("form[data-gallery='1']")

    def ids():
        return page.evaluate(f"[...document.querySelectorAll('#gallery-1 a')].map({PHOTO_OF_LINK})")

    assert len(ids()) == 24
    form.locator("[name=split]").select_option("test")
    assert set(ids()) == {name for name, row in stored.items() if row["split"] == "test"}
    assert form.locator(".count").inner_text() == "12 of 24 photos"
    form.locator("[name=split]").select_option("")
    keys = {
        "score": lambda row: row["score"],
        "mos": lambda row: row["mos"],
        "error": lambda row: abs(row["score"] - row["mos"]),
    }
    for name, key in keys.items():
        form.locator("[name=sort]").select_option(name)
        assert ids() == sorted(stored, key=lambda i: -key(stored[i]))
        form.locator("[name=order]").select_option("up")
        assert ids() == sorted(stored, key=lambda i: key(stored[i]))
    form.locator("[name=sort]").select_option("name")
    assert form.locator("[name=order]").input_value() == "up"
    assert [i for i in ids() if i.startswith("folder")] == sorted(i for i in stored if i.startswith("folder"))
    form.locator("[name=text]").fill("FOLDER/00001")
    assert set(ids()) == {name for name in stored if name.startswith("folder/00001")}
    # What is next is next in the gallery as it is shown.
    order = ids()
    page.locator("#gallery-1 a").first.click()
    page.locator("#explorer[open]").wait_for()
    page.locator("[data-go='1']").click()
    assert page.evaluate(f"({PHOTO_OF_LINK})(location)") == order[1]


def test_photos_without_scores_and_pictures_can_be_explored(visit, output):
    page = visit()
    assert page.locator("form[data-gallery='0'] [name=split]").is_hidden()
    assert "MOS" not in page.locator("#gallery-0").inner_text()
    open_photo(page, "folder/000000.jpg")
    assert page.locator("#mos").inner_text() == "no scores"
    assert "not a picture in a format" in page.locator("#explorer-note").inner_text()
    assert page.locator("#explorer-picture").is_hidden()
    assert page.locator("#zeroed-part").is_hidden()
    assert page.locator("#levels-part").is_hidden()
    assert page.locator("#explorer-synthetic").is_hidden()
    assert page.locator("#rule").input_value() == "score_change"
    row = next(row for row in rows(output, "rank", "own") if row["image_id"] == "folder/000000.jpg")
    block(page, 3).click()
    assert score(page) == pytest.approx(row["subset_scores"][FULL ^ 8], abs=6e-4)
    page.locator("[data-keep=important]").click()
    assert kept(page) == row["important_score_change"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("desktop", {}),
        ("dark", {"color_scheme": "dark", "reduced_motion": "reduce"}),
        ("phone", {"viewport": {"width": 390, "height": 844}, "has_touch": True}),
        ("narrow", {"viewport": {"width": 360, "height": 640}}),
    ],
)
def test_the_page_fits_its_window(visit, tmp_path, name, settings):
    page = visit(**settings)
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for details in page.locator("main details").all():
        details.evaluate("e => { e.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=tmp_path / f"{name}.png")
    page.locator(".tabs a", has_text="planted").click()
    open_photo(page, PHOTO)
    page.locator("#overlay").select_option("Shapley values")
    assert page.evaluate("document.getElementById('explorer').scrollWidth") <= width
    box = page.locator(".photo").bounding_box()
    reading = page.locator("#score").bounding_box()
    assert reading["y"] + reading["height"] < page.viewport_size["height"]  # score and photo are seen together
    blocks = [block(page, b).bounding_box() for b in range(6)]
    for b, found in enumerate(blocks):  # blocks tile the picture as the grid says
        assert found["x"] == pytest.approx(box["x"] + box["width"] * (b % 3) / 3, abs=1.5)
        assert found["y"] == pytest.approx(box["y"] + box["height"] * (b // 3) / 2, abs=1.5)
    assert box["width"] / box["height"] == pytest.approx(1.5, rel=0.02)  # the photo's own shape
    page.screenshot(path=tmp_path / f"{name}_explorer.png")
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < 150
    assert dark == (settings.get("color_scheme") == "dark")
    if settings.get("reduced_motion"):
        assert page.evaluate("getComputedStyle(document.querySelector('.scale .now')).transitionDuration") == "0s"


def test_light_and_dark_are_switched_and_paper_is_light(visit):
    page = visit(color_scheme="dark")

    def ground():
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    dark = ground()
    page.locator("#theme").click()
    light = ground()
    assert light != dark
    page.locator("#theme").click()
    assert ground() == dark
    page.emulate_media(media="print")
    assert ground() == "rgb(255, 255, 255)"
    assert page.locator("#theme").is_hidden()
    assert page.locator("form[data-gallery='0']").is_hidden()
    assert page.locator("#tables-0").is_visible()
    page.emulate_media(media="screen")
    open_photo(page, "folder/000001.jpg")
    page.emulate_media(media="print")
    assert page.locator(".photo").is_visible()  # the photo that is open, and nothing else
    assert page.locator("main").is_hidden()


def small_window(visit, script):
    page = visit("#dataset-1", script=script, viewport={"width": 360, "height": 300})
    page.locator("#gallery-1 a").nth(23).wait_for(state="attached")
    return page


def wait_for_pictures(page, gallery, seconds=120):
    """Asked from outside: a page that forbids eval may not wait for an expression of its own."""
    deadline = time.monotonic() + seconds
    while missing := page.evaluate(WITHOUT_PICTURE, gallery):
        assert time.monotonic() < deadline, f"{missing} pictures of gallery {gallery} never came"
        page.wait_for_timeout(50)


@pytest.mark.parametrize("way", ["printed", "print media", "opened for paper"])
def test_every_photo_is_there_on_paper(visit, way):
    page = small_window(visit, NEVER_IDLE)
    assert page.evaluate(WITHOUT_PICTURE, 1) > 0  # those far below wait
    if way == "printed":
        page.pdf()
        wait_for_pictures(page, gallery=1)
        different = page.locator("#gallery-1 img").evaluate_all("all => new Set(all.map((e) => e.src)).size")
        assert page.pdf().count(b"/Subtype /Image") >= different > 10
    elif way == "print media":
        page.emulate_media(media="print")
        wait_for_pictures(page, gallery=1)
        gallery = page.locator("#gallery-1")
        assert gallery.evaluate("e => e.scrollHeight <= e.clientHeight + 1")  # nothing is left inside a scroll bar
    else:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
    wait_for_pictures(page, gallery=1)


def test_every_photo_comes_without_scrolling(visit):
    page = small_window(visit, "")
    wait_for_pictures(page, gallery=1)
    wait_for_pictures(page, gallery=0)  # nor opening their data set


def test_photos_in_view_are_there_once_the_page_is_loaded(visit, tmp_path):
    page = visit("#dataset-1", script=NO_FRAMES, viewport={"width": 1280, "height": 2000})
    assert page.evaluate(WITHOUT_PICTURE, 1) == 0
    check_capture(page, tmp_path)


def test_a_small_window_that_is_captured_whole_shows_the_first_photos(visit, tmp_path):
    """Of those below the window a browser draws nothing where it may put that off."""
    page = small_window(visit, "")
    wait_for_pictures(page, gallery=1)
    check_capture(page, tmp_path)


def check_capture(page, tmp_path):
    """No card that the gallery's box shows is blank in a capture of the whole page."""
    captured = tmp_path / "page.png"
    page.screenshot(path=captured, full_page=True)
    page.evaluate("scrollTo(0, 0)")  # rectangles are then those of the capture
    boxes = page.locator("#gallery-1 img").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect()).map(({ x, y, width, height }) => [x, y, width, height])"
    )
    visible = page.locator("#gallery-1").bounding_box()
    with Image.open(captured) as opened:
        pixels = opened.convert("RGB")
        for x, y, width, height in boxes:
            if y + height < visible["y"] + visible["height"]:
                inside = pixels.crop((int(x) + 8, int(y) + 8, int(x + width) - 8, int(y + height) - 8))
                assert inside.getcolors(16) is None  # not a blank card


@pytest.mark.slow
def test_the_job_makes_a_page_with_all_figures_that_a_browser_shows(output, browser, tmp_path):
    output = shutil.copytree(output, tmp_path / "output")
    made = subprocess.run(
        [sys.executable, "jobs/report.py", "--output", str(output)], capture_output=True, text=True, check=True
    )
    assert made.stdout.endswith(f"wrote {output}/report/index.html\n")
    problems = []
    page = browser.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.goto(f"file://{output}/report/index.html#dataset-1")
    assert page.locator("#dataset-1 figure svg").count() > 8
    for figure in page.locator("#dataset-1 figure").all():
        figure.scroll_into_view_if_needed()
        assert figure.locator("svg").bounding_box()["width"] > 300
    assert page.evaluate("[...document.fonts].every((font) => font.status !== 'error')")
    page.close()
    assert problems == []
