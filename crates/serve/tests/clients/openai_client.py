"""OpenAI's own client against `percept serve`: python openai_client.py PERCEPT ONE=RUN OTHER=RUN (needs `openai` of PyPI).

Both runs are served at once; every assertion is about what a user of the client sees."""

import asyncio
import secrets
import sys

import openai

from server import Server


class Served(Server):
    """With OpenAI's client for it."""

    def client(self, kind=openai.OpenAI, key="none"):
        return kind(base_url=f"{self.url}/v1", api_key=key, max_retries=0)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def whole(client, model):
    ask = lambda **more: client.completions.create(model=model, prompt="The state of a", max_tokens=20, seed=7, **more)
    first, again = ask(), ask()
    assert first.choices[0].text == again.choices[0].text and first.choices[0].finish_reason == "length"
    assert first.usage.completion_tokens == 20 and first.usage.total_tokens == 20 + first.usage.prompt_tokens
    assert (first.object, first.model) == ("text_completion", model)

    told = ask(logprobs=3, echo=True).choices[0]
    assert told.text == "The state of a" + first.choices[0].text
    values = told.logprobs
    assert len(values.tokens) == len(values.token_logprobs) == len(values.top_logprobs) == len(values.text_offset)
    assert len(values.tokens) == first.usage.total_tokens and all(value <= 0 for value in values.token_logprobs)
    assert all(len(top) <= 3 for top in values.top_logprobs) and values.text_offset[0] == 0

    stop = first.choices[0].text[5:7]
    stopped = ask(stop=stop).choices[0]
    assert stopped.finish_reason == "stop" and stopped.text == first.choices[0].text.split(stop)[0]
    narrow = ask(temperature=0.5, top_p=0.9, user="somebody", n=1, extra_body={"top_k": 5, "min_p": 0.05})
    assert narrow.usage.completion_tokens == 20

    ids = [list(b"The state of a")]
    forms = ["The state of a"], ids[0], ids
    for prompt in forms:
        form = client.completions.create(model=model, prompt=prompt, max_tokens=20, seed=7)
        assert form.choices[0].text == first.choices[0].text, prompt
    both = client.completions.create(model=model, prompt=["a", "The state of a"], max_tokens=20, seed=7)
    assert [choice.index for choice in both.choices] == [0, 1] and both.choices[1].text == first.choices[0].text
    forced = client.completions.create(model=model, prompt="a", max_tokens=3, temperature=0, logit_bias={"122": 100})
    assert forced.choices[0].text == "zzz"


def streamed(client, model):
    ask = dict(model=model, prompt="Memory", max_tokens=40, seed=3, logprobs=2)
    expected = client.completions.create(**ask)
    events = list(client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert events[-1].usage == expected.usage and events[-1].choices == []
    choices = [event.choices[0] for event in events[:-1]]
    assert "".join(choice.text for choice in choices) == expected.choices[0].text
    values = [value for choice in choices for value in choice.logprobs.token_logprobs]
    assert values == expected.choices[0].logprobs.token_logprobs
    assert choices[-1].finish_reason == "length" and len(choices) > 20


async def together(server, model):
    client = server.client(openai.AsyncOpenAI)

    async def text(seed):
        stream = await client.completions.create(model=model, prompt="A model", max_tokens=30, seed=seed, stream=True)
        return "".join([event.choices[0].text async for event in stream])

    alone = [await text(seed) for seed in (0, 9)]
    texts = await asyncio.gather(*(text(seed) for seed in range(64)))
    assert [texts[0], texts[9]] == alone and len(set(texts)) > 32
    # A client that has enough: the text ends on the server too.
    stream = await client.completions.create(model=model, prompt="A model", max_tokens=60000, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await client.close()
    while f'percept_texts_active{{model="{model}"}} 0' not in server.ask("/metrics"):
        await asyncio.sleep(0.05)


def errors(client, model):
    ask = lambda **fields: lambda: client.completions.create(**{"model": model, "prompt": "a", **fields})
    unknown = refused(openai.NotFoundError, ask(model="none"))
    assert unknown.code == "model_not_found" and unknown.param == "model" and unknown.request_id
    assert refused(openai.BadRequestError, ask(n=2)).param == "n"
    assert refused(openai.BadRequestError, ask(best_of=2)).param == "best_of"
    refused(openai.BadRequestError, ask(extra_body={"colour": "red"}))
    refused(openai.NotFoundError, lambda: client.models.retrieve("none"))
    refused(openai.NotFoundError, lambda: client.chat.completions.create(model=model, messages=[]))


def main(percept, *runs):
    names = sorted(run.partition("=")[0] for run in runs)
    with Served(percept, *runs) as server:
        client = server.client()
        assert [model.id for model in client.models.list()] == names
        for name in names:
            assert client.models.retrieve(name).id == name
            whole(client, name)
            streamed(client, name)
            errors(client, name)
        asyncio.run(together(server, names[0]))
    assert "The state of a" not in server.log
    token = secrets.token_hex(16)
    with Served(percept, runs[0], PERCEPT_TOKENS=token) as server:
        refused(openai.AuthenticationError, lambda: server.client(key="wrong").models.list())
        ask = dict(model=runs[0].partition("=")[0], prompt="a", max_tokens=3)
        refused(openai.AuthenticationError, lambda: server.client(key="wrong").completions.create(**ask))
        assert server.client(key=token).completions.create(**ask).usage.completion_tokens == 3
    assert token not in server.log
    print("OpenAI's client", openai.__version__, "is served")


main(*sys.argv[1:])
