"""The web page with a model that has styles: the next drawn one, and the one of an uploaded example."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from instagan import InputError, Translator
from instagan.cli.web.handling import DRAWN, Desk, Order
from instagan.cli.web.layout import lay_out
from tests.browser import chromium, console_errors, wait_until
from tests.cli.test_app_page import OFFLINE, served, status_with, upload
from tests.programs import OF_SMALL, draw_picture
from tests.using import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return tiny_run(tmp_path_factory.mktemp("runs"), "run", "--model", "munit", *OF_SMALL["munit"])[0].path


@pytest.fixture
def pictures(tmp_path) -> tuple[Path, Path]:
    """A picture, and an example."""
    for number, name in enumerate(("photo", "night")):
        draw_picture(tmp_path / "in" / "in" / f"{name}.png", 0, (64, 48), seed=number)
    return tmp_path / "in/in/photo.png", tmp_path / "in/in/night.png"


def test_the_answer_is_the_translators_in_that_style(run, pictures, tmp_path):
    t, (photo, night) = Translator.load(run, device="cpu"), pictures
    (tmp_path / "results").mkdir()
    desk = Desk({"b": t}, None, 100 * 100, tmp_path / "results")

    def asked(**style) -> tuple[np.ndarray, str]:
        shown = desk.translate(Order(photo, DRAWN, [], True, [], "b", 1, **style))
        return np.asarray(shown.translated), shown.told

    codes = t.draw_styles(3)
    for number in range(3):
        made, told = asked(style=number)
        assert (made == np.asarray(t(photo, style=codes[number]).picture)).all()
        assert told.startswith(f"Translated in style {number} in ")
    assert (asked()[0] != asked(style=1)[0]).any()
    made, told = asked(style=1, example=night)
    assert (made == np.asarray(t(photo, style=night).picture)).all()
    assert told.startswith("Translated in the style of night.png in ")
    Image.new("RGB", (200, 200)).save(tmp_path / "large.png")
    Image.new("RGB", (60, 8)).save(tmp_path / "small.png")
    for name, said in (("large", "large.png is too large"), ("small", "style image of 60x8 pixels is too small")):
        with pytest.raises(InputError, match=said):
            asked(example=tmp_path / f"{name}.png")


def test_a_model_with_a_style_of_its_own_translates_in_that_first(pictures, tmp_path):
    """MGUIT's memory holds styles; those that are drawn come after, and none is taken from an example."""
    t = Translator.load(tiny_run(tmp_path, "run", "--model", "mguit", *OF_SMALL["mguit"])[0].path, device="cpu")
    (photo, _), codes = pictures, t.draw_styles(2)
    (tmp_path / "results").mkdir()
    desk, made = Desk({"b": t}, None, 100 * 100, tmp_path / "results"), []
    for number, style in enumerate((None, *codes)):
        hidden = dict.fromkeys(("instances", "order", "strength"))  # fields that the page does not show have no text
        shown = desk.translate(Order(photo, DRAWN, [], True, [], "b", 1, style=number, **hidden))
        assert (np.asarray(shown.translated) == np.asarray(t(photo, style=style).picture)).all()
        made.append(shown.told.partition(" in ")[2].rpartition(" in ")[0])
    assert made == ["the style that the model holds", "style 1", "style 2"]
    page = lay_out(pytest.importorskip("gradio"), desk, "a page")
    columns = {block.children[0].elem_id: block.visible for block in page.blocks.values() if named_first(block)}
    assert columns["example"] is False


def named_first(block) -> bool:
    return bool(getattr(block, "children", None)) and bool(block.children[0].elem_id)


@pytest.mark.slow
def test_another_style_and_an_example_in_a_browser(run, pictures, tmp_path):
    photo, night = pictures
    shown = "return document.querySelector('#result_2 img')?.src"
    with served(run) as address, chromium(tmp_path / "profile", OFFLINE, "--window-size=1400,1300") as browser:
        browser.get(address)
        wait_until(browser, "return document.querySelector('#another')", 120)
        upload(browser, "picture", photo)
        status_with(browser, "pixels")
        words = browser.execute_script("return document.body.innerText")
        assert "Translated" in words and not re.search("instance|mask|overlay", words, re.IGNORECASE), words
        told = [("translate", "in style 0"), ("another", "in style 1"), ("another", "in style 2")]
        addresses = []
        for button, words in told:
            browser.find_element("id", button).click()
            status_with(browser, words)
            addresses.append(wait_until(browser, shown))
        upload(browser, "example", night)
        wait_until(browser, "return document.querySelector('#example').innerText.includes('night')", 30)
        browser.find_element("id", "translate").click()
        status_with(browser, "in the style of night.png")
        browser.save_screenshot(str(tmp_path / "styles.png"))
        browser.find_element("id", "another").click()
        status_with(browser, "in style 3")
        wait_until(browser, "return !document.querySelector('#example').innerText.includes('night')", 30)
        assert len(set(addresses)) == 3
        assert [told for told in console_errors(browser) if "Method not implemented" not in told] == []
