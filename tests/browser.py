"""A page in headless Chromium, and what a person does with it."""

import base64
import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from servers import free_port

# As root in a container: no sandbox, no GPU; and nothing that the browser fetches for itself.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-device-scale-factor=1",
)  # fmt: skip


# Text against what lies behind it: WCAG 2.2 asks for 4.5 to 1, and for 3 to 1 where it is large.
CONTRAST = """
const light = (text) => {
  const [r, g, b] = text.match(/[0-9.]+/g).map(Number).slice(0, 3)
    .map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const weak = [];
for (const node of document.querySelectorAll('body *')) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  if (!own || !node.checkVisibility() || node.closest('svg, .empty, .zero, option, noscript')) continue;
  let behind = node;
  while (behind && /rgba\\(0, 0, 0, 0\\)|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const a = light(getComputedStyle(node).color), b = light(behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)');
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) weak.push(`${node.tagName}.${node.className} ${node.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return weak;
"""


class Page:
    """A page in the browser, and what a person does with it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, scheme: str = "light", view: str = ""
    ) -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri() + view)

    def js(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def settle(self) -> None:
        """Wait until what waits for the next frame is drawn."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )

    def search(self, words: str) -> None:
        field = self.one("#search")
        field.clear()
        field.send_keys(words)
        self.settle()

    def tick(self, facet: str, value: str) -> None:
        self.js(
            "for (const part of document.querySelectorAll('#filters, #filters details')) part.open = true"
        )
        self.one(f"input[data-facet='{facet}'][value='{value}']").click()

    def column(self, number: int) -> list[str]:
        return self.js(
            "return [...document.querySelectorAll('#rows tr')].map((row) => row.cells[arguments[0]].innerText.split('\\n')[0])",
            number,
        )

    def keys(self, *keys: str) -> None:
        ActionChains(self.driver).send_keys(*keys).perform()
        self.settle()

    def keep_marks(self) -> None:
        """Let a button that has copied say so for ever: on a busy machine its 1.6 s may be over before anybody looks."""
        self.js(
            "const real = setTimeout; window.setTimeout = (work, wait) => wait === 1600 ? 0 : real(work, wait)"
        )
        self.driver.implicitly_wait(30)

    def clipboard(self) -> str:
        return self.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """Return what was asked for since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return {
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        }

    def picture(self) -> Image.Image:
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
        return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


@contextmanager
def browsing(profile: Path) -> Iterator[Chrome]:
    """Give a browser; skip where there is none, fail instead under ``SR_REQUIRE_DATA=1``."""
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        reason = "the page needs a browser: apt-get install chromium chromium-driver"
        if os.environ.get("SR_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    options = ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "localhost,127.0.0.1")
        browser = Chrome(options=options, service=Service(chromedriver, port=free_port()))
        browser.set_script_timeout(90)
        browser.execute_cdp_cmd(
            "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        )
        try:
            yield browser
        finally:
            browser.quit()
