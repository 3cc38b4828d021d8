"""What is around the texts: tokens of access, what goes wrong, keys alone, a phone, light and dark, nobody else asked."""

import re
import secrets

from playwright.sync_api import expect

import page_tab
from page_tab import Tab, shown
from page_texts import IDS, PROMPT, written
from server import Server

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def access(looks, percept, run):
    token = secrets.token_hex(16)
    with Server(percept, f"one={run}", PERCEPT_TOKENS=token) as server, Tab(looks, server.url, tolerated="status of 401") as tab:
        dialog = tab.find("#access")
        expect(dialog).to_be_visible()
        expect(tab.find("#token")).to_be_focused()
        expect(tab.find("#access-wrong")).to_be_hidden()
        # Whoever has none can look at the page, is told why nothing happens, and is asked again.
        tab.press("Escape")
        expect(dialog).to_be_hidden()
        expect(tab.find("#trouble")).to_contain_text("This server wants a token")
        expect(tab.find("#model")).to_be_hidden()
        tab.shoot("no-token")
        tab.find("#prompt").fill(PROMPT)
        tab.press("Control+Enter")
        expect(dialog).to_be_visible()
        tab.page.keyboard.type("wrong")
        tab.press("Enter")
        expect(tab.find("#access-wrong")).to_be_visible()
        tab.shoot("wrong-token")
        expect(tab.find("#token")).to_have_value("")
        tab.page.keyboard.type(token)
        tab.press("Enter")
        expect(dialog).to_be_hidden()
        tab.loaded()
        expect(tab.find("#trouble")).to_be_hidden()
        # What was asked for before is done.
        tab.lanes[0].ends()
        tab.find("#keep-prompt").click()
        expect(tab.find("#states li")).to_have_count(1)
        shows = [request.headers.get("authorization") for request in tab.asked[-3:]]
        assert shows == [f"Bearer {token}"] * 3, shows
        assert not [request.url for request in tab.asked if token in request.url]
        # This tab keeps it, and no other.
        tab.page.reload()
        tab.loaded()
        expect(dialog).to_be_hidden()
        other = tab.context.new_page()
        other.goto(server.url)
        expect(other.locator("#access")).to_be_visible()
        other.close()
        tab.find("#forget").click()
        expect(dialog).to_be_visible()
        tab.page.reload()
        expect(dialog).to_be_visible()
    assert token not in server.log and PROMPT not in server.log


def failures(looks, percept, run):
    tolerated = "status of 4..|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_ABORTED"
    limits = ["--max-prompt", "100"]
    with Server(percept, f"one={run}", *limits) as server, Tab(looks, server.url, tolerated) as tab:
        tab.loaded()
        tab.set(max_tokens=60_000, temperature=0)
        first, _ = tab.lanes
        tab.find("#prompt").fill("too long " * 20 + "!")
        tab.press("Control+Enter")
        expect(first.trouble).to_have_text("The prompt has 182 tokens: 100 are allowed.")
        expect(first.status).to_have_text("failed")
        tab.shoot("prompt-too-long")
        # What the page itself can tell is told at the field, and nothing is asked.
        tab.find("#prompt").fill(PROMPT)
        count = len(tab.posted("/v1/completions"))
        tab.set(top_p=7)
        tab.press("Control+Enter")
        expect(tab.find("[name=top_p]")).to_be_focused()
        assert len(tab.posted("/v1/completions")) == count
        tab.find("[name=top_p]").fill("")
        tab.find("[name=max_tokens]").fill("1000000")
        tab.press("Control+Enter")
        expect(first.trouble).to_contain_text("max_tokens")
        tab.shoot("refused")
        tab.find("[name=max_tokens]").fill("60000")
        # The server goes away in the middle of a text: what there is of it stays.
        tab.slow(100_000)
        tab.press("Control+Enter")
        expect(first.units.nth(20)).to_be_attached(timeout=60_000)
        expect(first.trouble).to_be_hidden()
        server.kill()
        expect(first.status).to_have_text("failed", timeout=1000 * page_tab.PATIENCE)
        expect(first.trouble).to_contain_text(re.compile("can’t be reached|connection ended"))
        expect(first.trouble).to_be_in_viewport()
        assert first.units.count() > 20
        tab.shoot("server-gone", whole=False)
        tab.press("Control+Enter")
        expect(tab.find("#trouble")).to_contain_text("can’t be reached")
        # Once it is there again, so is all else.
        with Server(percept, f"one={run}", *limits, listen=server.address) as again:
            tab.slow(-1)
            tab.set(max_tokens=20)
            tab.find("#prompt").focus()
            tab.press("Control+Enter")
            first.writes(shown(written(again, IDS, 20)[0]))
            expect(tab.find("#trouble")).to_be_hidden()
            expect(first.trouble).to_be_hidden()


def keys_alone(looks, server):
    with Tab(looks, server.url) as tab:
        tab.loaded()
        focused = tab.page.locator("*:focus")

        def tab_to(selector):
            for _ in range(60):
                tab.press("Tab")
                if focused.count() and focused.evaluate("(element, selector) => element.matches(selector)", selector):
                    return
            raise AssertionError(f"Tab does not lead to {selector}")

        tab_to("#prompt")
        tab.page.keyboard.type(PROMPT)
        tab_to("#settings summary")
        tab.press("Enter")
        tab_to("[name=max_tokens]")
        tab.page.keyboard.type("40")
        tab_to("[name=temperature]")
        tab.page.keyboard.type("0")
        tab_to("#write")
        tab.press("Enter")
        first, other = tab.lanes
        ids, _ = written(server, IDS, 40)
        first.writes(shown(ids))
        expect(tab.find("#announce")).to_contain_text("Text A: 40 tokens written, reached its length.")
        tab_to(".lane .unit")
        expect(first.units.nth(0)).to_be_focused()
        for key, at in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 39), ("ArrowRight", 39), ("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1)]:
            tab.press(key)
            expect(first.units.nth(at)).to_be_focused()
            expect(tab.inspector.locator(".choice.written").first).to_have_attribute("data-token", str(ids[at]))
        assert "%" in first.units.nth(1).get_attribute("aria-label")
        # Into the alternatives, out of them again, and into them to fork.
        tab.press("Enter")
        expect(tab.inspector.locator(".choice").first).to_be_focused()
        tab.press("Escape")
        expect(first.units.nth(1)).to_be_focused()
        expect(tab.inspector).to_be_hidden()
        tab.press("Enter")
        tab.press("ArrowDown")
        tab.press("ArrowDown")
        tab.press("ArrowUp")
        expect(tab.inspector.locator(".choice").nth(1)).to_be_focused()
        tab.shoot("keys-alternatives", whole=False)
        instead = int(focused.get_attribute("data-token"))
        tab.press("Enter")
        forked = [ids[0], instead]
        other.writes(shown(forked + written(server, IDS + forked, 40)[0]))
        # Lines: down and up again leads to a unit of the same line.
        tab.press("Control+Shift+Enter")
        for lane in tab.lanes:
            lane.writes(shown(ids))
        # Help is a key away, but a letter in a text.
        tab_to("#prompt")
        tab.press("?")
        expect(tab.find("#keys")).to_be_hidden()
        tab_to("#write-two")
        tab.press("?")
        expect(tab.find("#keys")).to_be_visible()
        tab.shoot("keys")
        tab.press("Escape")
        expect(tab.find("#keys")).to_be_hidden()
        # A state, named and used.
        tab_to(".lane .keep")
        tab.press("Enter")
        expect(tab.find("#states li .name").first).to_be_focused()
        tab.page.keyboard.type("by keys")
        tab.press("Enter")
        expect(tab.find("#states li .save-name").first).to_be_hidden()
        tab_to("#states li .use")
        tab.press("Enter")
        expect(tab.find("#from")).to_contain_text("by keys")
        expect(tab.find("#prompt")).to_be_focused()


def phone(looks, server):
    for width in (390, 320):
        with Tab(looks, server.url, **{**PHONE, "viewport": {"width": width, "height": 844}}) as tab:
            tab.loaded()
            assert tab.wide() == 0
            tab.shoot(f"phone-{width}-begin")
            tab.find("#settings summary").tap()
            assert tab.wide() == 0
            tab.shoot(f"phone-{width}-settings")
            tab.find("#settings summary").tap()
            tab.set(max_tokens=80, temperature=0)
            tab.find("#prompt").fill(PROMPT)
            tab.find("#write").tap()
            first, other = tab.lanes
            ids, _ = written(server, IDS, 80)
            first.writes(shown(ids))
            first.units.nth(40).tap()
            expect(tab.inspector.locator(".choice.written")).to_have_attribute("data-token", str(ids[40]))
            box, unit = tab.inspector.bounding_box(), first.units.nth(40).bounding_box()
            assert box["width"] == width and unit["y"] + unit["height"] <= box["y"], (box, unit)
            assert tab.wide() == 0
            tab.shoot(f"phone-{width}-sheet", whole=False)
            row = next(row for row in tab.inspector.locator(".choice").all() if row.get_attribute("data-token") not in (str(ids[40]), "256"))
            assert row.bounding_box()["height"] >= 40
            instead = int(row.get_attribute("data-token"))
            row.tap()
            forked = [*ids[:40], instead]
            other.writes(shown(forked + written(server, IDS + forked, 80)[0]))
            expect(other.root).to_be_in_viewport()
            above, below = (lane.root.bounding_box() for lane in tab.lanes)
            assert above["y"] + above["height"] <= below["y"] and above["x"] == below["x"]
            tab.find("#keep-prompt").tap()
            expect(tab.find("#states li .name").first).to_be_focused()
            tab.find("#states li .use").first.tap()
            expect(tab.find("#from")).to_be_visible()
            assert tab.wide() == 0
            tab.shoot(f"phone-{width}-end")


# Of each piece of text on the page: how it stands out from what is behind it (WCAG 2.2), and where.
CONTRASTS = """() => {
  const context = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const layers = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return context.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => (element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : []);
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
    if (!text || !element.checkVisibility({ opacityProperty: true }) || element.closest(':disabled, option, .unseen')) continue;
    const colours = behind(element);
    const [back, front] = [layers(colours), layers([...colours, getComputedStyle(element).color])].map(luminance);
    found.push([(Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05), `${element.tagName}.${element.className}#${element.id}: ${text.slice(0, 30)}`]);
  }
  return found;
}"""


def light_and_dark(looks, server):
    papers = []
    for scheme in ("light", "dark"):
        with Tab(looks, server.url, color_scheme=scheme) as tab:
            tab.loaded()
            tab.set(max_tokens=120, temperature=1.2, seed=3)
            tab.find("#prompt").fill(PROMPT)
            tab.find("#write-two").click()
            for lane in tab.lanes:
                lane.ends()
            tab.find("#keep-prompt").click()
            expect(tab.find("#states li .name").first).to_be_focused()
            tab.page.keyboard.type("A state")
            tab.press("Enter")
            tab.find("#states li .use").first.click()
            tab.find("#settings summary").click()
            tab.lanes[0].units.nth(30).click()
            expect(tab.inspector).to_be_visible()
            tab.shoot(scheme)
            worst = sorted(tab.page.evaluate(CONTRASTS))
            assert len(worst) > 200 and worst[0][0] >= 4.5, worst[:8]
            papers.append(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    brightness = [sum(map(int, paper[4:-1].split(","))) for paper in papers]
    assert brightness[0] > 600 and brightness[1] < 150, papers


def nobody_else(looks, server):
    """What a script of a stranger would try, had one come into the page."""
    with Tab(looks, server.url, tolerated="Content Security Policy|stranger.invalid") as tab:
        tab.loaded()
        refused = tab.page.evaluate("""async () => {
            const refused = [];
            addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
            const add = (name, properties) => document.body.append(Object.assign(document.createElement(name), properties));
            add('img', { src: 'https://stranger.invalid/a.png' });
            add('script', { textContent: 'window.strange = true' });
            add('script', { src: 'https://stranger.invalid/a.js' });
            add('style', { textContent: 'body { display: none }' });
            add('iframe', { src: 'https://stranger.invalid/' });
            await fetch('https://stranger.invalid/').catch(() => {});
            await new Promise((resolve) => setTimeout(resolve, 200));
            if (window.strange) refused.push('a script ran');
            return refused;
        }""")
        assert sorted(refused) == ["connect-src", "frame-src", "img-src", "script-src-elem", "script-src-elem", "style-src-elem"], refused
        kinds = {request.url[len(server.url):] for request in tab.asked if request.url.startswith(server.url)}
        assert kinds >= {"/", "/page/main.js", "/page/base.css", "/page/parts.css", "/v1/models", "/v1/states?limit=20"}, kinds
