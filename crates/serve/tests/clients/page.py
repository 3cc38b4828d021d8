"""The page of `percept serve` in a browser: python page.py PERCEPT RUN [FOLDER] (needs `playwright` of PyPI, and Chromium).

RUN is of a model of bytes, trained or not. Each assertion is about what somebody sees, or what the server is asked; pictures go into
FOLDER, to be looked at."""

import pathlib
import sys
import tempfile

from playwright.sync_api import expect, sync_playwright

import page_around
import page_states
import page_tab
import page_texts
import page_words
from server import Server

expect.set_options(timeout=1000 * page_tab.PATIENCE)


class Looks:
    """The browser that looks, and the folder of its pictures."""

    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder


def main(percept, run, folder=None):
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as passing:
        browser = page_tab.browser(playwright)
        if not browser:
            return
        folder = pathlib.Path(folder or passing)
        folder.mkdir(parents=True, exist_ok=True)
        looks = Looks(browser, folder)
        with Server(percept, f"one={run}", f"two={run}") as server:
            for check in (
                page_texts.streams_and_forks, page_texts.two_and_a_stop, page_texts.bytes_that_are_no_text, page_texts.long_texts,
                page_around.keys_alone, page_around.phone, page_around.light_and_dark, page_around.nobody_else,
            ):
                check(looks, server)
        for check in (page_states.states, page_words.blanks_between_words, page_around.access, page_around.failures):
            check(looks, percept, run)
        print("the page works in Chromium", browser.version, "with", len(list(folder.glob("*.png"))), "pictures")
        browser.close()


main(*sys.argv[1:])
