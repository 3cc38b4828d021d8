// What else could stand in a token's place, beside the token.

import { nodesOf, percent } from './format.js';
import { parts } from './tokens.js';

/** How long it stays, in milliseconds, once nothing is pointed at: long enough to reach it. */
const STAYS = 300;

const box = document.querySelector('#inspector');
const narrow = matchMedia('(max-width: 44rem)');
let open;
let leaving;

/** Shows the tokens of a unit; `fork` is called with the place of a token and the alternative that was chosen for it. */
export function inspect(unit, fork) {
  clearTimeout(leaving);
  if (open?.pinned && open.unit !== unit) return;
  if (open?.unit === unit) return;
  show(unit, fork);
}

/** Shows them until they are closed, and goes to the first alternative. */
export function pin(unit, fork) {
  clearTimeout(leaving);
  if (open?.unit !== unit) show(unit, fork);
  open.pinned = true;
  open.unit.element.classList.add('open');
  box.querySelector('button')?.focus({ preventScroll: true });
}

/** Hides them after a while, unless they are pinned or pointed at. */
export function leave() {
  if (open?.pinned) return;
  clearTimeout(leaving);
  leaving = setTimeout(() => close(), STAYS);
}

/** Hides them; true where there was something to hide. */
export function close() {
  clearTimeout(leaving);
  if (!open) return false;
  const { unit, pinned } = open;
  const inside = box.contains(document.activeElement);
  open = undefined;
  unit.element.classList.remove('open');
  box.hidden = true;
  if (pinned && inside) {
    unit.element.focus();
    // The focus shows it again: not what was asked for.
    close();
  }
  return true;
}

function show(unit, fork) {
  open?.unit.element.classList.remove('open');
  open = { unit, pinned: false };
  const many = unit.tokens.length > 1;
  const intro = many ? [line('quiet', `${unit.tokens.length} tokens make up this character.`)] : [];
  const lists = unit.tokens.flatMap((token, at) => listed(token, (choice) => {
    close();
    fork(unit.begin + at, choice);
  }));
  box.replaceChildren(...intro, ...lists, line('quiet', 'Choose one to write on from there. Probabilities are the model’s own, before temperature.'));
  box.hidden = false;
  place(unit.element);
  uncover(unit.element);
}

/** A token with its alternatives. */
function listed(token, choose) {
  const head = document.createElement('p');
  const name = document.createElement('b');
  name.append(...named(token.bytes));
  head.className = 'head';
  head.append(name, `${percent(token.logprob)}${token.byHand ? ', chosen by you' : ''}`);
  const list = document.createElement('ul');
  const others = token.alternatives.some(({ id }) => id === token.id) ? [] : [token];
  for (const choice of [...token.alternatives, ...others]) {
    const item = document.createElement('li');
    item.append(row(choice, choice.id === token.id, choose));
    list.append(item);
  }
  return [head, list];
}

function row(choice, isWritten, choose) {
  const button = document.createElement('button');
  const text = document.createElement('span');
  const share = document.createElement('span');
  button.type = 'button';
  button.className = 'choice';
  button.dataset.token = choice.id;
  button.classList.toggle('written', isWritten);
  button.style.setProperty('--share', `${100 * Math.exp(choice.logprob)}%`);
  text.append(...named(choice.bytes));
  share.textContent = percent(choice.logprob);
  button.append(text, share);
  button.title = isWritten ? 'This one was written. Choose it to write on anew after it.' : 'Fork: write on with this one instead';
  button.addEventListener('click', () => choose(choice));
  return button;
}

function named(bytes) {
  return bytes.length ? nodesOf(parts(bytes), { visible: true }) : ['no text'];
}

function line(className, text) {
  const element = document.createElement('p');
  element.className = className;
  element.textContent = text;
  return element;
}

/** Below its token where there is room, else above. A phone has it at the bottom (style sheet). */
function place(element) {
  const token = element.getClientRects()[0] ?? element.getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  const left = Math.max(8, Math.min(token.left, document.documentElement.clientWidth - width - 8));
  const below = token.bottom + 6;
  const top = below + height <= innerHeight - 8 ? below : Math.max(8, token.top - height - 6);
  box.style.setProperty('left', `${left}px`);
  box.style.setProperty('top', `${top}px`);
}

/** At the bottom of a phone it must not cover its token. */
function uncover(element) {
  const covered = element.getBoundingClientRect().bottom + 8 - box.getBoundingClientRect().top;
  if (narrow.matches && covered > 0) scrollBy({ top: covered });
}

/** It stays beside its token when that moves. */
function follow({ target }) {
  if (open && target !== box) place(open.unit.element);
}

box.addEventListener('pointerenter', () => clearTimeout(leaving));
box.addEventListener('pointerleave', leave);
box.addEventListener('focusin', () => clearTimeout(leaving));
box.addEventListener('keydown', (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const rows = [...box.querySelectorAll('button')];
  rows[rows.indexOf(document.activeElement) + step]?.focus();
  event.preventDefault();
});
// Outside of it and of the texts, a click closes it.
document.addEventListener('pointerdown', (event) => {
  if (!box.contains(event.target) && !event.target.closest('.unit')) close();
});
addEventListener('resize', follow);
addEventListener('scroll', follow, { capture: true, passive: true });
