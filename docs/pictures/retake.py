"""Take the documents' pictures again, of a demo that runs: `python docs/pictures/retake.py URL PASSWORD`.

The replay picture shows a policy tried on the last month; it is tried first where it was not yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

FOLDER = Path(__file__).parent
WIDE = (1440, 900)
NARROW = (390, 844)
PATIENCE_MS = 180_000  # a replay waits for a worker
LARGEST_BYTES = 250_000


def stay(page: Page) -> None:
    """Take the page as it is."""


def open_first(page: Page) -> None:
    """Go where the first row of the page's first table leads."""
    page.locator("main table a.row-title").first.click()
    page.wait_for_load_state()


def see_chart(page: Page) -> None:
    """Wait until what was measured is drawn."""
    image = page.locator("#measured img").first
    expect(image).to_have_js_property("complete", value=True)
    expect(image).not_to_have_js_property("naturalWidth", value=0)


def open_event(page: Page) -> None:
    """Go to the first event, and wait for its chart."""
    open_first(page)
    see_chart(page)


def open_device(page: Page) -> None:
    """Go to the device of the first alert."""
    page.locator("#alerts a.row-title").first.click()
    page.wait_for_load_state()
    see_chart(page)


def open_policy(page: Page) -> None:
    """Go to the policy of a thermostat, which says more than others."""
    page.locator("main table a.row-title", has_text="hermostat").first.click()
    page.wait_for_load_state()


def open_replay(page: Page) -> None:
    """Go to a replay of the policy on the fleet's last month, and wait for its answer."""
    open_policy(page)
    if not page.locator("section[aria-labelledby=replays] a").count():
        page.get_by_role("link", name="Replay last month").click()
        page.select_option("[name=scope]", "FLEET")
        page.get_by_role("button", name="Replay", exact=True).click()
    else:
        page.locator("section[aria-labelledby=replays] a").first.click()
    expect(page.locator("#programs")).to_be_visible(timeout=PATIENCE_MS)


def show_difference(page: Page) -> None:
    """Put what an event that is tried changes at the top of the picture."""
    page.fill("[name=who]", "ELRP emergency")
    page.fill("[name=kw]", "4000")
    page.get_by_role("button", name="Show the plan").click()
    page.locator("#power-title").wait_for()
    page.evaluate("scrollTo(0, document.querySelector('.columns.is-preview').offsetTop - 56)")


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture is taken, of which size and colours, and what is pressed before."""

    path: str
    size: tuple[int, int] = WIDE
    scheme: Literal["light", "dark"] = "light"
    press: Callable[[Page], None] = stay


PICTURES = {
    "control-room": Picture("/"),
    "control-room-dark": Picture("/", scheme="dark"),
    "control-room-narrow": Picture("/", NARROW),
    "calendar-week": Picture("/calendar/?view=week"),
    "overlaps": Picture("/overlaps/"),
    "event": Picture("/events/?when=live", scheme="dark", press=open_event),
    "device": Picture("/alerts/?kind=unverified", press=open_device),
    "alerts": Picture("/alerts/"),
    "alerts-narrow": Picture("/alerts/", NARROW),
    "policy": Picture("/policies/", press=open_policy),
    "replay": Picture("/policies/", press=open_replay),
    "preview": Picture("/preview/", press=show_difference),
}


def sign_in(page: Page, address: str, password: str) -> None:
    """Sign in as the demo's admin."""
    page.goto(f"{address}/sign-in/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{address}/")


def shrink(path: Path) -> None:
    """Reduce a picture to a palette where ImageMagick is installed; say so when it stays large."""
    if convert := shutil.which("convert"):
        subprocess.run(  # noqa: S603  (a fixed program on our own file)
            [convert, path, "-strip", "-dither", "None", "-colors", "128", f"PNG8:{path}"], check=True
        )
    if path.stat().st_size > LARGEST_BYTES:
        sys.stderr.write(f"{path.name} has {path.stat().st_size:,} bytes, more than {LARGEST_BYTES:,}.\n")


def main(address: str, password: str, *names: str) -> None:
    """Write pictures, all or those named, into this folder: of each page what the first screen shows."""
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in names or PICTURES:
            picture = PICTURES[name]
            viewport = ViewportSize(width=picture.size[0], height=picture.size[1])
            page = browser.new_page(viewport=viewport, color_scheme=picture.scheme)
            sign_in(page, address, password)
            page.goto(address + picture.path)
            picture.press(page)
            page.screenshot(path=FOLDER / f"{name}.png")
            shrink(FOLDER / f"{name}.png")
            page.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), *sys.argv[2:])
