// What went wrong, in plain words.

/** An error that is meant for the reader of the page. */
export class Failure extends Error {}

/** The failure that an answer of the server tells. */
export async function failureOf(response) {
  const told = await response.json().then((body) => body.error, () => undefined);
  return new Failure(wordsOf(response, told));
}

/** The failure in an event of a stream. */
export function failureIn(told) {
  return new Failure(sentence(told));
}

function wordsOf(response, told) {
  const id = response.headers.get('x-request-id');
  switch (response.status) {
    case 401: return 'This server wants a token. You are asked for it again when you write.';
    case 429: return `The server has too much to do. Try again in ${response.headers.get('retry-after') ?? 'a few'} s.`;
    case 500: return `The server failed. Its log says why${id ? `, at request ${id}` : ''}.`;
    case 502: case 503: return 'The server is being stopped or restarted. Try again later.';
    case 507: return 'The server has no room left for states. Delete some that you no longer need.';
  }
  if (told?.code === 'state_not_found') return 'This state is gone: somebody deleted it, or it had to make room.';
  if (!told?.message) return `The server answered ${response.status} and did not say why.`;
  return sentence(told);
}

/** The server's message, with the setting that it is about. */
function sentence({ message, param }) {
  // This page sends one prompt at a time.
  const plain = message.replace(/^prompt 0\b/, 'The prompt');
  const text = param && !message.startsWith(param) ? `${param}: ${plain}` : plain;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** What to show of any error; `undefined` where the reader wanted it so. */
export function plainWords(error) {
  if (error.name === 'AbortError') return undefined;
  if (error instanceof Failure) return error.message;
  if (error instanceof TypeError) return 'The server can’t be reached. Is it still running?';
  return `This page failed: ${error.message}`;
}

/** Shows an error in `place`, or clears the place where there is none. */
export function showTrouble(place, error) {
  const words = error && plainWords(error);
  place.textContent = words ?? '';
  place.hidden = !words;
}
