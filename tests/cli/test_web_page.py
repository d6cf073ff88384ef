"""The pages of the project in a real browser, opened as a file."""

import pytest
import torch

from engine.schedule import Progress
from instagan.io.pixels import to_picture
from instagan.structures.instances import InstanceBatch
from pages.gallery import GalleryRow, GallerySection, write_gallery
from tests.browser import chromium, console_errors, wait_until
from trackers.web_page import WebPage

HOSTILE = [
    "<script>document.title='hacked'<script>.png",
    "<img src=x onerror=\"document.title='hacked'\">#%41?.png",
    "\"'><svg onload=document.title='hacked'>\n.png",
    "percent%20and#hash?.png",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def opened(browser, path, width=1400, dark=False):
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(path.as_uri())
    browser.execute_script("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    wait_until(browser, "return [...document.images].every(i => i.complete)")


def picture_widths(browser):
    return browser.execute_script("return [...document.images].map(i => i.naturalWidth)")


def batch(rows: int) -> InstanceBatch:
    masks = torch.full((rows, 3, 64, 64), -1.0)
    masks[:, 0, 5:20, 5:20] = masks[:, 2, 30:60, 10:40] = 1.0
    return InstanceBatch.from_masks(torch.linspace(-1, 1, 64).expand(rows, 3, 64, 64), masks)


def run_page(folder, closed=True):
    options = {"lr": 0.0002, "batch_size": 4, "name": HOSTILE[0]}
    page = WebPage(folder, HOSTILE[0], options, {"batch_size"}, Progress())
    for step in range(1, 2001):
        losses = {name: 1 / step for name in ("D_A", "D_B", "G_A", HOSTILE[1])}
        page.losses(Progress(1, step, step, 4 * step), losses, {"lr": 0.0002})
    for step in (2001, 2002):
        pictures = {"A": {"real_A": batch(4), "fake_B": batch(4)}, "B": {"real_B": batch(2)}}
        paths = {"A": tuple(f"/data/{name}" for name in HOSTILE), "B": ("c.png", "d.png")}
        page.pictures(Progress(1, step, step, 4 * step), pictures, paths)
    if closed:
        page.close()
    return folder / "index.html"


def test_page_of_a_run_loads_whole_and_without_an_error(browser, tmp_path):
    opened(browser, run_page(tmp_path))
    assert picture_widths(browser) == [64] * 2 * (4 * 2 * 2 + 2 * 2)
    assert console_errors(browser) == []
    drawn = browser.execute_script("return [...document.querySelectorAll('svg path')].map(p => p.getTotalLength())")
    assert len(drawn) == 2 * 4 and min(drawn) > 50, "every loss has a raw and a smoothed curve that is really drawn"
    changed = browser.execute_script("return [...document.querySelectorAll('.changed dt')].map(e => e.textContent)")
    assert changed == ["batch_size"]


def test_hostile_names_are_text_in_the_page_of_a_run(browser, tmp_path):
    opened(browser, run_page(tmp_path))
    assert browser.title == HOSTILE[0]
    counts = browser.execute_script(
        "return ['script', '[onerror]', '[onload]', 'svg svg svg'].map(s => document.querySelectorAll(s).length)"
    )
    assert counts == [0, 0, 0, 0]
    captions = browser.execute_script("return [...document.querySelectorAll('.sample b')].map(e => e.textContent)")
    wanted = {name.replace("\n", "\N{REPLACEMENT CHARACTER}") for name in HOSTILE}
    assert wanted <= set(captions)


def test_every_picture_leads_to_its_file(browser, tmp_path):
    opened(browser, run_page(tmp_path))
    links = browser.execute_script("return [...document.querySelectorAll('.tiles a')].map(a => a.href)")
    assert len(links) == len(set(links)) == 40
    browser.get(links[0])
    assert browser.execute_script("return document.images[0].naturalWidth") == 64


@pytest.mark.parametrize("width", [360, 800, 1800])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_any_window_in_light_and_dark(browser, tmp_path, width, dark):
    opened(browser, run_page(tmp_path), width, dark)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    shades = browser.execute_script(
        "return ['backgroundColor', 'color'].map(p => getComputedStyle(document.body)[p].match(/\\d+/g).map(Number))"
    )
    ground, ink = (sum(shade[:3]) / 3 for shade in shades)
    assert (ink - ground if dark else ground - ink) > 150


def test_page_shows_tiny_pictures_at_the_asked_width_pixel_by_pixel(browser, tmp_path):
    opened(browser, run_page(tmp_path), 1800)
    shown = browser.execute_script(
        "const i = document.images[0]; return [i.clientWidth, getComputedStyle(i).imageRendering]"
    )
    assert 200 <= shown[0] <= 256 and shown[1] == "pixelated"


def test_keys_lead_through_the_gallery(browser, tmp_path):
    """A click opens the lightbox, arrows go along a row and between rows, Esc leads back, m unfolds all masks."""
    from selenium.webdriver import Keys

    columns, masks = ["real_A", "fake_B"], ["real_A_mask"]
    rows = [GalleryRow(name, {column: f"{name}_{column}.png" for column in (*columns, *masks)}) for name in "pq"]
    for row in rows:
        for file in row.files.values():
            to_picture(torch.zeros(3, 20, 30)).save(tmp_path / file)
    browser.get(write_gallery(tmp_path, "run", [GallerySection("A to B", columns, rows, masks)], {}).as_uri())

    def press(*keys: str) -> str | None:
        for key in keys:
            browser.switch_to.active_element.send_keys(key)
        return browser.execute_script("const b = document.querySelector('dialog[open]'); return b && b.textContent")

    browser.find_element("css selector", ".tiles a").click()
    assert press() == "real A of p"
    assert press(Keys.ARROW_RIGHT) == "fake B of p"
    assert press(Keys.ARROW_DOWN) == "fake B of q"
    assert press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT) == "real A mask of q", "the ends hold"
    wait_until(browser, "return document.querySelector('dialog img').naturalWidth === 30")
    assert press(Keys.ESCAPE) is None
    # The browser tells of a closed dialog in a task of its own, after the key has been answered.
    wait_until(browser, "return document.activeElement.href?.endsWith('q_real_A_mask.png')")
    opened = "return [...document.querySelectorAll('details')].map(fold => fold.open)"
    assert browser.execute_script(opened) == [False, True], "what was looked at last is in sight"
    press("m")
    assert browser.execute_script(opened) == [True, True]
    press("m")
    assert browser.execute_script(opened) == [False, False] and console_errors(browser) == []


def test_examples_stay_above_their_columns_and_keys_lead_to_them(browser, tmp_path):
    from selenium.webdriver import Keys

    columns = ["real_A", "fake_B_style0", "fake_B_style1"]
    rows = [GalleryRow(f"p{number}", {column: f"{column}.png" for column in columns}) for number in range(6)]
    above = GalleryRow("examples", {column: f"example_{column}.png" for column in columns[1:]}, ["n0.png", "n1.png"])
    for file in (*rows[0].files.values(), *above.files.values()):
        to_picture(torch.zeros(3, 96, 128)).save(tmp_path / file)
    section = GallerySection("A to B", columns, rows, above=above)
    opened(browser, write_gallery(tmp_path, "run", [section], {}))
    lefts = "return [...document.querySelectorAll('article')].slice(0, 2).map(row => "
    lefts += "[...row.querySelectorAll('figure')].map(one => Math.round(one.getBoundingClientRect().left)))"
    examples, pictures = browser.execute_script(lefts)
    assert len(examples) == 2 and examples == pictures[1:]
    browser.execute_script("scrollTo(0, 700)")
    top = browser.execute_script("return document.querySelector('.above').getBoundingClientRect().top")
    assert 0 <= top < 20, "it stays in sight"
    browser.execute_script("scrollTo(0, 0); document.querySelectorAll('article')[1].querySelectorAll('a')[1].click()")

    def press(key: str) -> str:
        browser.switch_to.active_element.send_keys(key)
        return browser.execute_script("return document.querySelector('dialog[open]').textContent")

    assert press(Keys.ARROW_UP) == "n0.png of examples" and press(Keys.ARROW_RIGHT) == "n1.png of examples"
    assert press(Keys.ARROW_DOWN) == "fake B style1 of p0"
    assert press(Keys.ARROW_LEFT) == "fake B style0 of p0" and press(Keys.ARROW_LEFT) == "real A of p0"
    assert press(Keys.ARROW_UP) == "n0.png of examples", "where there is no example, the next one"


def test_page_reads_itself_anew_while_training(browser, tmp_path):
    browser.get(run_page(tmp_path, closed=False).as_uri())
    assert browser.find_elements("css selector", "meta[http-equiv=refresh]")
    assert browser.find_element("css selector", ".pill").text == "training"


def test_gallery_shows_hostile_files_in_full_size(browser, tmp_path):
    rows = []
    for name in HOSTILE:
        to_picture(torch.zeros(3, 50, 300)).save(tmp_path / name)
        rows.append(GalleryRow(name, {"real_A": name, "fake_B": name}))
    sections = [GallerySection("A to B", ["real_A", "fake_B"], rows), GallerySection("B to A", ["real_B"], rows[:0])]
    opened(browser, write_gallery(tmp_path, HOSTILE[0], sections, {"Epoch": "<b>"}), 400)
    assert picture_widths(browser) == [300] * 2 * len(HOSTILE) and console_errors(browser) == []
    assert browser.title == HOSTILE[0] and not browser.find_elements("css selector", "[onerror], [onload]")
    assert len(browser.find_elements("css selector", "script")) == 1
    for address in browser.execute_script("return [...document.querySelectorAll('.tiles a')].map(a => a.href)"):
        browser.get(address)
        assert browser.execute_script("return document.images[0].naturalWidth") == 300
