// Tokens and their bytes: what the server tells of them, and how they make up characters.

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Tokens of the server's `logprobs`: `{ id, bytes, logprob, alternatives }`, the most probable alternative first. */
export function toldTokens(logprobs) {
  return (logprobs?.token_ids ?? []).map((id, at) => ({
    id,
    bytes: bytesOf(logprobs.tokens[at]),
    logprob: logprobs.token_logprobs[at],
    alternatives: Object.entries(logprobs.top_logprobs[at] ?? {})
      .map(([text, logprob]) => ({ id: logprobs.top_token_ids[at][text], bytes: bytesOf(text), logprob }))
      .sort((a, b) => b.logprob - a.logprob || a.id - b.id),
  }));
}

/** The bytes of a token's text, which is `bytes:\x..` where they are no text by themselves. */
export function bytesOf(text) {
  if (!/^bytes:(\\x[0-9a-f]{2})+$/.test(text)) return [...encoder.encode(text)];
  return text.slice(6).split('\\x').slice(1).map((hex) => parseInt(hex, 16));
}

/** Bytes as text, or `undefined` where they are none. */
export function textOf(bytes) {
  try {
    return decoder.decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}

/** Bytes in parts: `{ text }` where they are characters that can be seen, or blanks; `{ hex }` for each other byte. */
export function parts(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length;) {
    const length = lengthOf(bytes[at]);
    const text = isControl(bytes[at]) || at + length > bytes.length ? undefined : textOf(bytes.slice(at, at + length));
    const last = found.at(-1);
    if (text === undefined) found.push({ hex: bytes[at].toString(16).padStart(2, '0') });
    else if (last?.text !== undefined) last.text += text;
    else found.push({ text });
    at += text === undefined ? 1 : length;
  }
  return found;
}

/** Whether a byte is a character that steers something: all but tab and line end. */
function isControl(byte) {
  return (byte < 0x20 && byte !== 0x09 && byte !== 0x0a) || byte === 0x7f;
}

/** Bytes of the character that begins with this byte. */
function lengthOf(byte) {
  return byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/**
 * Divides tokens into units: the fewest tokens in a row that are whole characters. Of tokens that can't become any, each is a unit
 * of its own. The last unit may still grow.
 */
export function units(tokens) {
  const found = [];
  for (let at = 0; at < tokens.length;) {
    const length = unitAt(tokens, at);
    found.push(tokens.slice(at, at + length));
    at += length;
  }
  return found;
}

function unitAt(tokens, begin) {
  let bytes = [];
  for (let end = begin; end < tokens.length; end++) {
    bytes = bytes.concat(tokens[end].bytes);
    if (textOf(bytes) !== undefined) return end + 1 - begin;
    if (!isOpen(bytes)) return 1;
  }
  return tokens.length - begin;
}

/** Whether more bytes can still make this text. */
function isOpen(bytes) {
  for (let cut = 1; cut <= 3 && cut <= bytes.length; cut++) {
    const first = bytes.at(-cut);
    if ((first & 0xc0) === 0x80) continue;
    return first >= 0xc2 && first < 0xf5 && lengthOf(first) > cut && textOf(bytes.slice(0, -cut)) !== undefined;
  }
  return false;
}
