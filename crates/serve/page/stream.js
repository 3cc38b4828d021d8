// A completion as it is written.

import { send } from './api.js';
import { Failure, failureIn } from './failure.js';

/** Asks for a completion and gives each choice as it comes; `signal` ends it. */
export async function* completion(request, signal) {
  const body = { ...request, stream: true };
  const response = await send('POST', 'v1/completions', { body, signal });
  for await (const data of lines(response.body)) {
    if (data === '[DONE]') return;
    const event = JSON.parse(data);
    if (event.error) throw failureIn(event.error);
    yield* event.choices;
  }
  throw new Failure('The connection ended before the text did.');
}

/** The data of server-sent events; those of the server have one line each. */
async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const line of parts) if (line.startsWith('data:')) yield line.slice(5).trim();
  }
}
