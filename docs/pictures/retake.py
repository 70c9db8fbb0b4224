"""Take the documents' pictures again, of a demo that runs: `python docs/pictures/retake.py URL PASSWORD`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, ViewportSize, sync_playwright

FOLDER = Path(__file__).parent
WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)
# name: (address, viewport, colour scheme)
PICTURES: dict[str, tuple[str, ViewportSize, Literal["light", "dark"]]] = {
    "control-room": ("/", WIDE, "light"),
    "control-room-dark": ("/", WIDE, "dark"),
    "control-room-narrow": ("/", NARROW, "light"),
    "calendar-week": ("/calendar/?view=week", WIDE, "light"),
    "overlaps": ("/overlaps/", WIDE, "light"),
    "event": ("/events/?when=live", WIDE, "dark"),
}


def sign_in(page: Page, address: str, password: str) -> None:
    """Sign in as the demo's admin."""
    page.goto(f"{address}/sign-in/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{address}/")


def main(address: str, password: str) -> None:
    """Write one picture a page into this folder, as much of it as the first screen shows."""
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, (path, viewport, scheme) in PICTURES.items():
            page = browser.new_page(viewport=viewport, color_scheme=scheme)
            sign_in(page, address, password)
            page.goto(address + path)
            if name == "event":
                page.click("main table a >> nth=0")
                page.wait_for_load_state()
            page.screenshot(path=FOLDER / f"{name}.png")
            page.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2])
