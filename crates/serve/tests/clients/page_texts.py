"""Texts on the page: written, looked into, forked, two at once, stopped. What is expected comes from the API."""

import math
import re

from playwright.sync_api import expect

import page_tab
from page_tab import Tab, share, shown, until

PROMPT = "The state of a"
IDS = list(PROMPT.encode())


def written(server, ids, count, **settings):
    """The tokens that follow, with what is told of each."""
    body = {"model": "one", "prompt": ids, "max_tokens": count, "temperature": 0, "logprobs": 10, **settings}
    choice = server.ask("/v1/completions", body)["choices"][0]
    return choice["logprobs"]["token_ids"], choice


def bytes_as_words(count):
    """As the page writes sizes."""
    unit = min(3, int(math.log2(count)) // 10)
    value = count / 1024 ** unit
    value = math.floor(10 * value + 0.5) / 10 if value < 10 and unit else math.floor(value + 0.5)
    return f"{value} {['bytes', 'KiB', 'MiB', 'GiB'][unit]}"


def check_facts(lane, tokens, choice):
    facts = lane.facts.text_content().split(" · ")
    assert facts[0] == f"{tokens} tokens", facts
    assert re.fullmatch(r"\d+\.\d tokens/s", facts[1]) and float(facts[1].split()[0]) > 0, facts
    # The document token begins every text.
    assert facts[2] == f"position {1 + len(IDS) + tokens}", facts
    assert facts[3] == f"state {bytes_as_words(choice['state_bytes'])}", facts


def check_inspector(tab, choice, at):
    """What is shown of a token is what the API tells of it."""
    logprobs = choice["logprobs"]
    expect(tab.inspector).to_be_visible()
    head = tab.inspector.locator(".head")
    head = head.text_content().removeprefix(head.locator("b").text_content())
    assert abs(share(head) - 100 * math.exp(logprobs["token_logprobs"][at])) < 0.06, (head, at)
    values, ids = logprobs["top_logprobs"][at], logprobs["top_token_ids"][at]
    expected = sorted(((-value, ids[text]) for text, value in values.items()))
    rows = tab.rows()
    assert [id for id, *_ in rows][:len(expected)] == [id for _, id in expected], (rows, expected)
    assert len(rows) == len(expected) + (logprobs["token_ids"][at] not in ids.values())
    for (id, text, percent), (value, _) in zip(rows, expected):
        assert abs(share(percent) - 100 * math.exp(-value)) < 0.06, (percent, value)
        assert text == {32: "␣", 10: "↵", 9: "⇥", 256: "no text"}.get(id, shown([id])), (id, text)
    is_written = tab.inspector.locator(".choice.written")
    assert [int(row.get_attribute("data-token")) for row in is_written.all()] == [logprobs["token_ids"][at]]


def streams_and_forks(looks, server):
    with Tab(looks, server.url) as tab:
        tab.loaded()
        expect(tab.find("#model option")).to_have_text(["one", "two"])
        card = server.ask("/v1/models/one")
        expect(tab.find("#model-facts")).to_contain_text(f"{card['vocab']} tokens")
        expect(tab.find("#model-facts")).to_contain_text(bytes_as_words(card["state_limit"]))
        tab.shoot("begin")
        tab.set(max_tokens=60, temperature=0)
        tab.find("#prompt").press_sequentially(PROMPT)
        tab.press("Control+Enter")
        first, other = tab.lanes
        ids, choice = written(server, IDS, 60)
        first.writes(shown(ids))
        expect(first.root.locator(".before")).to_have_text(PROMPT)
        check_facts(first, 60, choice)
        assert first.units.count() == 60

        for at in (0, 7, 31, 59):
            first.units.nth(at).hover()
            expect(tab.inspector.locator(".choice.written")).to_have_attribute("data-token", str(ids[at]))
            check_inspector(tab, choice, at)
        tab.find("h1").hover()
        expect(tab.inspector).to_be_hidden()

        # Pointed at, then an alternative is clicked, as somebody would.
        at = 20
        first.units.nth(at).hover()
        tab.page.wait_for_timeout(100)
        tab.shoot("hover", whole=False)
        instead = next(id for id, *_ in tab.rows() if id not in (ids[at], 256))
        tab.inspector.locator(f"[data-token='{instead}']").click()
        expect(tab.inspector).to_be_hidden()
        kept = [*ids[:at], instead]
        more, choice = written(server, IDS + kept, 60)
        other.writes(shown(kept + more))
        assert tab.posted("/v1/completions")[-1]["prompt"] == IDS + kept
        expect(other.root.locator(".by-hand")).to_have_text(shown([instead]))
        assert other.units.nth(at).get_attribute("class").split() == ["unit", "by-hand"]
        check_facts(other, at + 1 + 60, choice)
        assert first.text() == shown(ids)
        boxes = [lane.root.bounding_box() for lane in tab.lanes]
        assert boxes[0]["y"] == boxes[1]["y"] and boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"], boxes
        # Of a token that was chosen, the probability is shown all the same; and a fork of a fork goes back.
        other.units.nth(at).hover()
        expect(tab.inspector.locator(".head")).to_contain_text("chosen by you")
        tab.shoot("fork", whole=False)
        tab.inspector.locator(f"[data-token='{ids[at]}']").click()
        first.writes(shown(ids[:at + 1] + written(server, IDS + ids[:at + 1], 60)[0]))

        first.button("Go on").click()
        whole, choice = written(server, IDS, 21 + 60 + 60)
        expect(first.facts).to_contain_text(f"{len(whole)} tokens", timeout=1000 * page_tab.PATIENCE)
        first.writes(shown(whole))
        check_facts(first, len(whole), choice)


def two_and_a_stop(looks, server):
    with Tab(looks, server.url) as tab:
        tab.loaded()
        tab.set(max_tokens=50, temperature=0.9, seed=5)
        tab.find("#prompt").fill(PROMPT)
        tab.find("#write-two").click()
        texts = [lane.ends() for lane in tab.lanes]
        drawn = [shown(written(server, IDS, 50, temperature=0.9, seed=seed)[0]) for seed in (5, 6)]
        assert texts == drawn and texts[0] != texts[1]
        for lane, seed in zip(tab.lanes, (5, 6)):
            expect(lane.facts).to_contain_text(f"seed {seed}")
        # Without colours it is the same text; the choice changes nothing else.
        colour = "getComputedStyle(document.querySelector('.lane .unit')).backgroundColor"
        assert tab.page.evaluate(colour) != "rgba(0, 0, 0, 0)"
        tab.find("#tint").uncheck()
        assert tab.page.evaluate(colour) == "rgba(0, 0, 0, 0)"

        # It is seen while it is written, and ends when it is told to: on the server too.
        tab.slow(100_000)
        tab.set(max_tokens=60_000, temperature=0)
        tab.find("#write-two").click()
        for lane in tab.lanes:
            expect(lane.units.nth(30)).to_be_attached(timeout=60_000)
            expect(lane.status).to_have_text("writing…")
            expect(lane.button("Go on")).to_be_disabled()
            expect(lane.facts).to_contain_text("tokens/s")
        tab.shoot("writing", whole=False)
        # One of them, then the others.
        tab.lanes[1].button("Stop").click()
        tab.lanes[1].ends("stopped")
        expect(tab.lanes[0].status).to_have_text("writing…")
        tab.press("Escape")
        text = tab.lanes[0].ends("stopped")
        idle = 'percept_texts_active{model="one"} 0'
        assert until(tab.page, lambda: idle in server.ask("/metrics"))
        assert tab.lanes[0].text() == text and tab.find("#stop").is_disabled()
        assert not tab.lanes[0].trouble.is_visible()
        count = tab.lanes[0].units.count()
        assert text == shown(written(server, IDS, count)[0])
        # A text that was stopped goes on as if nothing had been.
        tab.slow(-1)
        tab.set(max_tokens=10)
        tab.lanes[0].button("Go on").click()
        tab.lanes[0].writes(shown(written(server, IDS, count + 10)[0]))


def bytes_that_are_no_text(looks, server):
    """How tokens make up characters, against Python; and a text of half characters."""
    with Tab(looks, server.url) as tab:
        tab.loaded()
        cases = [[list(piece) for piece in pieces] for pieces in (
            [b"a", b"\xc3", b"\xa9", b"b"], [b"\xe2\x82", b"\xac", b"\xe2\x82"], [b"\xff", b"\xc3", b"\xc3", b"\xa9"], [b"\xed", b"\xa0", b"\x80"],
            [b"\xf0\x9f", b"\x99", b"\x82\xf0", b"\x9f\x99\x82", b""], [b"\xc0", b"\x80", b"\xf5", b"x\r\n\t\x7f"], ["né".encode(), b"\xe6", b"\x97", b"\xa5"],
        )]
        found = tab.page.evaluate("""async (cases) => {
            const { units, parts, bytesOf } = await import('./page/tokens.js');
            if (bytesOf('bytes:\\\\xc3\\\\xa9').join() !== '195,169' || bytesOf('bytes:é').length !== 8) throw new Error('bytesOf');
            return cases.map((pieces) => units(pieces.map((bytes) => ({ bytes })))
                .map((unit) => [unit.length, parts(unit.flatMap((token) => token.bytes)).map((part) => part.text ?? part.hex).join('')]));
        }""", cases)
        lengths = [[1, 2, 1], [2, 1], [1, 1, 2], [1, 1, 1], [4, 1], [1, 1, 1, 1], [1, 3]]
        for pieces, units, expected in zip(cases, found, lengths, strict=True):
            assert [length for length, _ in units] == expected, (pieces, units)
            assert "".join(text for _, text in units) == shown(sum(pieces, [])), (pieces, units)

        # A model that writes the first byte of a character only.
        def biased(route):
            route.continue_(post_data={**route.request.post_data_json, "logit_bias": {"195": 100}})

        tab.page.route("**/v1/completions", biased)
        tab.set(max_tokens=5, temperature=0)
        tab.find("#prompt").fill("é")
        tab.press("Control+Enter")
        tab.lanes[0].writes("c3" * 5)
        expect(tab.lanes[0].root.locator(".byte")).to_have_count(5)
        # A character that the prompt ends within: the model is told bytes, not what they look like.
        assert tab.posted("/v1/completions")[-1]["prompt"] == [0xC3, 0xA9]
        tab.lanes[0].units.nth(2).hover()
        expect(tab.inspector.locator(".choice.written")).to_have_attribute("data-token", "195")
        tab.shoot("bytes")


def long_texts(looks, server):
    """A long text lies in parts, so that a token at its end does not lay out all of it anew; it looks and copies as if it were one."""
    with Tab(looks, server.url) as tab:
        tab.loaded()
        found = tab.page.evaluate("""async () => {
            const { Written } = await import('./page/written.js');
            const place = document.createElement('article');
            place.className = 'lane';
            place.innerHTML = '<div class="text"><span class="before">Before it. </span><span class="whole"></span></div>';
            place.firstChild.style.cssText = 'width: 30rem; max-height: none';
            document.querySelector('main').append(place);
            const element = place.querySelector('.whole');
            const words = ['the', ' cat', ' sat', ' on', ' a', ' mat', '.', ' é'];
            const all = Array.from({ length: 3000 }, (_, at) => (at % 41 === 40 ? '\\n' : words[at % 8]));
            const written = new Written(element, { shown() {}, left() {}, opened() {} });
            const token = (text) => ({ id: 0, bytes: [...new TextEncoder().encode(text)], logprob: -1, alternatives: [] });
            for (let at = 0; at < all.length; at += 7) written.add(all.slice(at, at + 7).map(token));
            const tops = () => written.units.map((unit) => Math.round(unit.element.getBoundingClientRect().top - place.getBoundingClientRect().top));
            getSelection().selectAllChildren(element);
            const parts = [...element.children];
            const result = { text: all.join(''), shown: element.textContent, copied: getSelection().toString(), sizes: parts.map((part) => part.childElementCount), tops: tops() };
            parts.forEach((part) => part.replaceWith(...part.childNodes));
            place.remove();
            document.querySelector('main').append(place);
            return { ...result, tops_as_one: tops() };
        }""")
        assert found["shown"] == found["copied"] == found["text"]
        # A part ends with the first line that makes it large enough.
        assert len(found["sizes"]) > 10 and max(found["sizes"]) <= 241 and sum(found["sizes"]) == 3000, found["sizes"]
        assert found["tops"] == found["tops_as_one"]
