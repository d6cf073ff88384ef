"""The web page as it is served: what can be fetched, what is refused, and its use in a real browser."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from instagan import Translator
from tests.browser import chromium, console_errors, requested, wait_until
from tests.test_floors import ROOT
from tests.using import tiny_run

OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
STATUS = "return document.querySelector('#status textarea')?.value"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def served(model, *flags):
    """The program in a process of its own, as users run it -> its address."""
    port = free_port()
    command = [sys.executable, "-m", "instagan", "app", "--model", str(model), "--device", "cpu", "--port", str(port)]
    proxies = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": "127.0.0.1"}
    process = subprocess.Popen(
        [*command, *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **proxies, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        told = process.stdout.readline()
        address = re.search(r"http://\S+", told)
        assert address, (told, process.poll() is not None and process.stderr.read())
        yield address[0].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and rest == ""


def answer(address, data=None):
    """Status and body."""
    body = None if data is None else json.dumps(data).encode()
    asked = urllib.request.Request(address, data=body, headers={"content-type": "application/json"} if body else {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as response:
            return response.status, response.read().decode(errors="replace"), response.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace"), error.headers


def called(address, number, data):
    """What the page's event ``number`` answers, as its own script would ask for it."""
    session = f"test{time.time()}"
    joined, _, _ = answer(
        f"{address}/gradio_api/queue/join", {"data": data, "fn_index": number, "session_hash": session}
    )
    if joined != 200:
        return str(joined)
    lines = answer(f"{address}/gradio_api/queue/data?session_hash={session}")[1].splitlines()
    return next(line for line in lines if "process_completed" in line)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    run, _ = tiny_run(folder, "run")
    with served(run.path, "--max_upload", "1", "--max_megapixels", "1") as address:
        yield address, folder, run


def test_no_file_of_the_machine_can_be_fetched(page):
    address, folder, run = page
    secret = folder / "secret.txt"
    secret.write_text("do not tell")
    paths = [secret, run.path / "options.yaml", ROOT / "setup.py", "/etc/passwd", "../../../../../../etc/passwd"]
    paths += ["/tmp", "instagan/__init__.py", "/proc/self/environ", "%2e%2e/%2e%2e/etc/passwd", "http://127.0.0.1:9/"]
    for path in paths:
        for way in ("/gradio_api/file=", "/file=", "/static/", "/assets/", "/gradio_api/proxy="):
            status, body, _ = answer(f"{address}{way}{path}")
            assert status >= 400 and "root:" not in body and "do not tell" not in body, (way, path, status)
    for path in (str(secret), "/etc/passwd", "http://127.0.0.1:9/x.png"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        told = called(address, 0, [file, "Draw"])
        assert '"success": false' in told.replace('":false', '": false') or told in ("422", "403"), told
        assert "do not tell" not in told and "data:image" not in told


def test_every_answer_forbids_other_hosts_and_tells_nothing_of_the_machine(page):
    address, folder, _ = page
    for path in ("/", "/config", "/gradio_api/info"):
        status, body, headers = answer(address + path)
        assert "default-src 'self'" in headers["content-security-policy"]
        assert str(folder) not in body and str(ROOT) not in body
        if path == "/":
            assert status == 200 and not re.search(r"<(script|link)[^>]+(src|href)=\"?https?://(?!127)", body)
    config = json.loads(answer(address + "/config")[1])
    assert config["analytics_enabled"] is False and config["max_file_size"] == 2**20
    assert all(event["api_visibility"] == "private" for event in config["dependencies"])


def upload(browser, part, *files):
    browser.find_element("css selector", f"#{part} input[type=file]").send_keys("\n".join(map(str, files)))


def status_with(browser, words, seconds=60):
    return wait_until(
        browser, f"{STATUS.replace('return', 'const told =')}; return told?.includes('{words}') && told", seconds
    )


def paint(browser, corners):
    """Along the corners, in shares of the picture."""
    from selenium.webdriver.common.action_chains import ActionChains

    area = browser.find_element("css selector", "#canvas canvas")
    places = [(round((x - 0.5) * area.size["width"]), round((y - 0.5) * area.size["height"])) for x, y in corners]
    actions = ActionChains(browser, duration=0).move_to_element_with_offset(area, *places[0]).click_and_hold()
    for place in places[1:]:
        actions.move_to_element_with_offset(area, *place)
    actions.release().perform()


@pytest.mark.slow
def test_upload_draw_translate_download_in_a_browser_without_a_network(page, tmp_path):
    address, _, run = page
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    downloads = tmp_path / "downloads"
    with chromium(tmp_path / "profile", OFFLINE, "--window-size=1400,1700") as browser:
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
        requested(browser)
        browser.get(address)
        wait_until(browser, "return document.querySelector('#translate')", 120)
        upload(browser, "picture", tmp_path / "photo.png")
        assert status_with(browser, "pixels") == "photo.png, 64 x 48 pixels."
        wait_until(browser, "return document.querySelector('#canvas canvas')?.width > 1")
        browser.find_element("id", "translate").click()
        assert "Nothing is drawn" in status_with(browser, "drawn")
        paint(browser, [(0.1, 0.1), (0.4, 0.1), (0.4, 0.5), (0.1, 0.5), (0.1, 0.1)])
        browser.find_element("css selector", ".canvas-new").click()
        paint(browser, [(0.6, 0.5), (0.9, 0.5), (0.9, 0.9), (0.6, 0.9), (0.6, 0.5)])
        browser.find_element("id", "translate").click()
        assert "2 of 2 instances" in status_with(browser, "translated in")
        wait_until(browser, "return document.querySelectorAll('.result img').length == 5")
        sizes = "return [...document.querySelectorAll('.result img')].map(i => i.naturalWidth)"
        wait_until(browser, sizes + ".every(w => w == 64)")
        for button in ("download", "archive"):
            browser.find_element("id", button).click()
        deadline = time.time() + 120
        while time.time() < deadline and len([*downloads.glob("*.png"), *downloads.glob("*.zip")]) < 2:
            time.sleep(0.2)
        made = np.asarray(Image.open(downloads / "photo_to_b.png"))
        with zipfile.ZipFile(downloads / "photo_to_b.zip") as archive:
            assert archive.namelist() == [f"photo_to_b{rest}.png" for rest in ("", "_mask_0", "_mask_1")]
        strokes = browser.execute_script("return document.querySelectorAll('.canvas-instances button').length")
        assert strokes == 2 and made.shape == (48, 64, 3)
        assert (made != np.asarray(Image.open(tmp_path / "photo.png"))).any()
        hosts = {re.match(r"https?://([^/]+)", url)[1] for url in requested(browser) if url.startswith(address[:4])}
        assert hosts == {address.rpartition("/")[2]}
        assert [told for told in console_errors(browser) if "Method not implemented" not in told] == []


@pytest.mark.slow
def test_uploaded_masks_direction_and_errors_in_a_browser(page, tmp_path):
    address, _, run = page
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    files = [tmp_path / f"m{number}.png" for number in range(2)]
    for number, file in enumerate(files):
        mask = np.zeros((48, 64), np.uint8)
        mask[5:20, 30 * number : 30 * number + 20] = 255
        Image.fromarray(mask).save(file)
    (tmp_path / "page.jpg").write_text("<html>" * 100)
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "heavy.png")  # more than a megabyte
    Image.new("RGB", (1200, 1000)).save(tmp_path / "wide.png")  # more than a megapixel, in few bytes
    with chromium(tmp_path / "profile", OFFLINE, "--window-size=1400,1700") as browser:
        for name, told in (("page.jpg", "page.jpg cannot be read"), ("wide.png", "wide.png is too large: at most 1")):
            browser.get(address)
            wait_until(browser, "return document.querySelector('#translate')", 120)
            upload(browser, "picture", tmp_path / name)
            assert str(tmp_path) not in status_with(browser, told)
        browser.get(address)
        wait_until(browser, "return document.querySelector('#translate')", 120)
        upload(browser, "picture", tmp_path / "heavy.png")
        wait_until(browser, "return document.body.innerText.includes('exceed the maximum')", 30)
        browser.get(address)
        wait_until(browser, "return document.querySelector('#translate')", 120)
        upload(browser, "picture", tmp_path / "photo.png")
        status_with(browser, "pixels")
        browser.execute_script("document.querySelectorAll('#origin input')[1].click()")
        browser.execute_script("document.querySelectorAll('#to input')[1].click()")
        wait_until(browser, "return document.querySelector('#masks input[type=file]')")
        upload(browser, "masks", *files)
        wait_until(browser, "return document.querySelector('#masks').innerText.includes('m1')", 30)
        browser.find_element("id", "translate").click()
        assert "2 of 2 instances" in status_with(browser, "translated in")
        wait_until(browser, "return document.querySelectorAll('.result img').length == 5")
        source = "document.querySelector('#result_2 img')"
        wait_until(browser, f"return {source}.complete && {source}.naturalWidth == 64")
        shown = browser.execute_script(
            f"const c = document.createElement('canvas'); c.width = 64; c.height = 48; const x = c.getContext('2d');"
            f"x.drawImage({source}, 0, 0); return [...x.getImageData(0, 0, 64, 48).data]"
        )
    wanted = Translator.load(run.path, to="a", device="cpu")(tmp_path / "photo.png", files).picture
    assert (np.array(shown).reshape(48, 64, 4)[..., :3] == np.asarray(wanted)).all()
