// Keys for the whole page. Those of a text are in written.js, those of the alternatives in inspector.js.

import { close } from './inspector.js';

const help = document.querySelector('#keys');

/** `write(many)`: one text or two; `stop`: what is being written. */
export function listen({ write, stop }) {
  document.addEventListener('keydown', (event) => {
    if (document.querySelector('dialog[open]')) return;
    const command = event.ctrlKey || event.metaKey;
    if (event.key === 'Enter' && command) write(event.shiftKey ? 2 : 1);
    else if (event.key === 'Escape') close() || stop();
    else if (event.key === '?' && !event.target.matches('input, textarea, select')) help.showModal();
    else return;
    event.preventDefault();
  });
  document.querySelector('#keys-open').addEventListener('click', () => help.showModal());
}
