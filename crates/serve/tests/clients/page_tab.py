"""A tab of a browser with the page in it, looked over the shoulder."""

import codecs
import re
import shutil
import time

from playwright.sync_api import expect

# Seconds that a text may take on a machine that does much else.
PATIENCE = 120
# Bytes that are no characters are shown as digits, and so are those that only steer something.
codecs.register_error("hex", lambda error: (error.object[error.start:error.end].hex(), error.end))


def browser(playwright):
    """Chromium of the system, else playwright's own; none where there is neither."""
    found = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    try:
        return playwright.chromium.launch(executable_path=found)
    except Exception as error:
        print("SKIPPED: no browser to look at the page with:", str(error).splitlines()[0])
        return None


def shown(ids):
    """Ids of a model of bytes as the page shows them in a text."""
    text = bytes(id for id in ids if id < 256).decode(errors="hex")
    return re.sub("[\0-\x08\x0b-\x1f\x7f]", lambda found: f"{ord(found[0]):02x}", text)


def share(text):
    """A percentage as it is written."""
    return 0.0 if text.startswith("<") else float(re.fullmatch(r"(\d+\.\d+) %", text)[1])


def until(page, condition):
    """Waits, but not for ever; whether it came true."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    return condition()


class Tab:
    """A tab, until the end of the block: then it must have asked nobody but the server, and complained of nothing but what is
    `tolerated`."""

    def __init__(self, looks, url, tolerated="-", **how):
        self.looks, self.url, self.tolerated = looks, url, tolerated
        self.context = looks.browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **how})
        self.page = self.context.new_page()
        self.asked, self.complaints = [], []
        self.page.on("request", lambda request: self.asked.append(request))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.find = self.page.locator
        self.press = self.page.keyboard.press
        self.lanes = [Lane(self, self.find(".lane").nth(at)) for at in range(2)]
        self.inspector = self.find("#inspector")

    def __enter__(self):
        self.page.goto(self.url)
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.shoot("failed", whole=False)
        self.context.close()
        assert kind or not self.complained(), self.complained()
        strangers = [request.url for request in self.asked if not request.url.startswith(f"{self.url}/") and not re.search(self.tolerated, request.url)]
        assert kind or not strangers, strangers

    def complained(self):
        return [text for text in self.complaints if not re.search(self.tolerated, text)]

    def shoot(self, name, whole=True):
        """A picture of the whole page, or of what is in the window."""
        self.page.screenshot(path=self.looks.folder / f"{name}.png", full_page=whole, timeout=1000 * PATIENCE)

    def loaded(self):
        expect(self.find("#model option").first).to_be_attached()
        expect(self.find("#states")).to_be_visible()

    def slow(self, bytes_a_second):
        """From now on over a slow line, so that texts are long on their way."""
        conditions = {"offline": False, "latency": 0, "uploadThroughput": -1, "downloadThroughput": bytes_a_second}
        self.context.new_cdp_session(self.page).send("Network.emulateNetworkConditions", conditions)

    def set(self, **settings):
        """Fills in settings, as somebody would who opens them."""
        if not self.find("#settings").get_attribute("open") == "":
            self.find("#settings summary").click()
        for name, value in settings.items():
            self.find(f"[name={name}]").fill(str(value))
        self.find("#settings summary").click()

    def posted(self, path):
        """The bodies that were sent to an address."""
        return [request.post_data_json for request in self.asked if request.url == f"{self.url}{path}" and request.method == "POST"]

    def rows(self):
        """What the inspector shows: of each alternative its id, its text and its percentage."""
        return [(int(row.get_attribute("data-token")), *row.locator("> span").all_text_contents()) for row in self.inspector.locator(".choice").all()]

    def wide(self):
        """How much wider than the window the page is."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


class Lane:
    """One of the texts."""

    def __init__(self, tab, root):
        self.page, self.root = tab.page, root
        self.status, self.facts = root.locator(".status"), root.locator(".facts")
        self.units, self.trouble = root.locator(".unit"), root.locator(".note.bad")
        self.button = lambda name: root.get_by_role("button", name=name, exact=True)

    def ends(self, how="reached its length"):
        expect(self.status).to_have_text(how, timeout=1000 * PATIENCE)
        return self.text()

    def writes(self, text):
        """What is there before may be another text that has ended, or the same, which is then written anew."""
        now = lambda: (self.status.text_content(), self.text())
        assert until(self.page, lambda: now() == ("reached its length", text)), (now(), text)

    def text(self):
        return self.root.locator(".written").text_content()
