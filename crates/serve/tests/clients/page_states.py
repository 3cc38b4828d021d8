"""States on the page: saved, named, listed, gone on from, copied, pinned, deleted, and there again after a restart."""

import tempfile

from playwright.sync_api import expect

from page_tab import Tab, shown, until
from page_texts import IDS, PROMPT, bytes_as_words, written
from server import Server


def states(looks, percept, run):
    with tempfile.TemporaryDirectory() as folder:
        arguments = [percept, f"one={run}", f"two={run}", "--states", folder]
        with Server(*arguments) as server:
            saved_and_used(looks, server)
            more_than_a_list_holds(looks, server)
            listed = [state["name"] for state in server.ask("/v1/states")["data"]]
        with Server(*arguments, "--states-ttl", "7200") as server, Tab(looks, server.url) as tab:
            tab.loaded()
            names = lambda: [row.input_value() for row in tab.find("#states li .name").all()]
            assert until(tab.page, lambda: names() == [name or "" for name in listed]), (names(), listed)


def row_of(tab, name):
    return next(row for row in tab.find("#states li").all() if row.locator(".name").input_value() == name)


def check_row(row, state):
    facts = row.locator(".facts").text_content().split(" · ")
    assert facts[:4] == [f"position {state['position']}", bytes_as_words(state["bytes"]), state["model"], "used just now"], (facts, state)


def saved_and_used(looks, server):
    with Tab(looks, server.url) as tab:
        tab.loaded()
        expect(tab.find("#states-none")).to_be_visible()
        tab.set(max_tokens=30, temperature=0)
        tab.find("#prompt").fill(PROMPT)

        # Of the prompt; its name can be typed at once.
        tab.find("#keep-prompt").click()
        expect(tab.find("#states li .name")).to_be_focused()
        tab.page.keyboard.type("The prompt")
        tab.press("Enter")
        expect(tab.find("#states li .save-name")).to_be_hidden()
        state, = server.ask("/v1/states")["data"]
        assert (state["name"], state["position"], state["model"], state["pinned"]) == ("The prompt", 1 + len(IDS), "one", False)
        check_row(row_of(tab, "The prompt"), state)
        expect(tab.find("#states-none")).to_be_hidden()

        # Of the end of a text.
        tab.press("Control+Enter") if tab.find("#prompt").focus() is None else None
        ids, _ = written(server, IDS, 60)
        tab.lanes[0].writes(shown(ids[:30]))
        tab.lanes[0].button("Save state").click()
        expect(tab.find("#states li")).to_have_count(2)
        tab.page.keyboard.type("The <b>end</b> & more")
        tab.press("Enter")
        expect(tab.find("#states li .save-name").first).to_be_hidden()
        end = server.ask("/v1/states")["data"][0]
        assert (end["name"], end["position"]) == ("The <b>end</b> & more", 1 + len(IDS) + 30)
        assert f"position {end['position']} · " in tab.lanes[0].facts.text_content()
        check_row(row_of(tab, end["name"]), end)

        # Gone on from without its text, it is the uninterrupted text.
        row_of(tab, end["name"]).get_by_role("button", name="Go on from it").click()
        expect(tab.find("#from")).to_contain_text(f"Goes on from “The <b>end</b> & more” at position {end['position']}.")
        expect(tab.find("#prompt")).to_have_value("")
        tab.shoot("states")
        tab.press("Control+Enter")
        tab.lanes[0].writes(shown(ids[30:]))
        sent = tab.posted("/v1/completions")[-1]
        assert (sent["state"], sent["prompt"]) == (end["id"], []), sent
        expect(tab.lanes[0].facts).to_contain_text(f"position {1 + len(IDS) + 60} ")
        # A fork of that keeps the state that it came from.
        unit = tab.lanes[0].units.nth(10)
        unit.hover()
        expect(tab.inspector.locator(".choice.written")).to_have_attribute("data-token", str(ids[40]))
        instead = next(id for id, *_ in tab.rows() if id not in (ids[40], 256))
        tab.inspector.locator(f"[data-token='{instead}']").click()
        forked = [*ids[30:40], instead]
        tab.lanes[1].writes(shown(forked + written(server, IDS + ids[:30] + forked, 30)[0]))
        # And so does its end, once it is saved.
        tab.lanes[1].button("Save state").click()
        expect(tab.find("#states li")).to_have_count(3)
        assert server.ask("/v1/states")["data"][0]["position"] == 1 + len(IDS) + 30 + 11 + 30

        # The prompt is there again once the text begins anew.
        tab.find("#from-clear").click()
        expect(tab.find("#prompt")).to_have_value(PROMPT)
        expect(tab.find("#from")).to_be_hidden()

        # Copied, pinned, not deleted by accident, deleted.
        row_of(tab, "The prompt").get_by_role("button", name="Duplicate").click()
        expect(tab.find("#states li")).to_have_count(4)
        copy = server.ask("/v1/states")["data"][0]
        assert (copy["name"], copy["position"]) == ("The prompt (copy)", 1 + len(IDS))
        row = row_of(tab, copy["name"])
        row.get_by_role("button", name="Pin", exact=True).click()
        expect(row.locator(".facts")).to_contain_text("pinned")
        assert server.ask(f"/v1/states/{copy['id']}")["pinned"]
        row.get_by_role("button", name="Unpin").click()
        expect(row.get_by_role("button", name="Pin", exact=True)).to_be_visible()
        assert not server.ask(f"/v1/states/{copy['id']}")["pinned"]
        row.get_by_role("button", name="Delete").click()
        tab.find("#prompt").focus()
        expect(row.get_by_role("button", name="Delete", exact=True)).to_be_visible()
        row.get_by_role("button", name="Go on from it").click()
        row.get_by_role("button", name="Delete").click()
        row.get_by_role("button", name="Really delete?").click()
        expect(tab.find("#states li")).to_have_count(3)
        assert copy["id"] not in [state["id"] for state in server.ask("/v1/states")["data"]]
        # What is gone can't be gone on from.
        expect(tab.find("#from")).to_be_hidden()


def more_than_a_list_holds(looks, server):
    for number in range(20):
        server.ask("/v1/states", {"model": "two", "prompt": "a", "name": f"number {number}"})
    with Tab(looks, server.url, tolerated="status of 404") as tab:
        tab.loaded()
        expect(tab.find("#states li")).to_have_count(20)
        tab.find("#states-more").click()
        expect(tab.find("#states li")).to_have_count(23)
        expect(tab.find("#states-more")).to_be_hidden()
        # A state brings its model.
        tab.set(max_tokens=5, temperature=0)
        row_of(tab, "number 7").get_by_role("button", name="Go on from it").click()
        expect(tab.find("#model")).to_have_value("two")
        tab.find("#prompt").fill("b")
        tab.press("Control+Enter")
        tab.lanes[0].writes(shown(written(server, list(b"ab"), 5)[0]))
        # Another model can't go on from it.
        tab.find("#model").select_option("one")
        expect(tab.find("#from")).to_be_hidden()
        # One that went in the meantime says so.
        row = row_of(tab, "number 8")
        server.ask(f"/v1/states/{row.get_attribute('data-state')}", method="DELETE")
        row.get_by_role("button", name="Duplicate").click()
        expect(tab.find("#states-trouble")).to_contain_text("This state is gone")
        tab.shoot("state-gone")
