// Numbers for people.

/** A logarithm of probability as per cent: three digits, and no 0 for what can happen. */
export function percent(logprob) {
  const share = 100 * Math.exp(logprob);
  if (share < 0.01) return '< 0.01 %';
  return `${share < 10 ? share.toFixed(2) : share.toFixed(1)} %`;
}

/** Bytes, with a unit. */
export function size(bytes) {
  const unit = Math.min(3, Math.floor(Math.log2(Math.max(bytes, 1)) / 10));
  const value = bytes / 1024 ** unit;
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${['bytes', 'KiB', 'MiB', 'GiB'][unit]}`;
}

/** A count with its word; words that end otherwise are no concern here. */
export function count(number, word) {
  return `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;
}

/** How long ago, from seconds since 1970. */
export function ago(seconds) {
  return span(Date.now() / 1000 - seconds, (text) => `${text} ago`, 'just now');
}

/** How long until, to seconds since 1970. */
export function until(seconds) {
  return span(seconds - Date.now() / 1000, (text) => `in ${text}`, 'now');
}

function span(seconds, words, none) {
  for (const [length, word] of [[86400, 'day'], [3600, 'hour'], [60, 'minute']]) {
    if (seconds >= length) return words(count(Math.floor(seconds / length), word));
  }
  return none;
}

/** A token's bytes, in parts, as nodes: blanks and line ends can be seen where `visible`. */
export function nodesOf(parts, { visible }) {
  return parts.map((part) => {
    if (part.text !== undefined) return document.createTextNode(visible ? seen(part.text) : part.text);
    const byte = document.createElement('span');
    byte.className = 'byte';
    byte.textContent = part.hex;
    byte.title = `byte ${part.hex}, no character that can be seen`;
    return byte;
  });
}

function seen(text) {
  const signs = { ' ': '␣', '\n': '↵', '\t': '⇥' };
  return text.replace(/[ \n\t]/g, (blank) => signs[blank]);
}
