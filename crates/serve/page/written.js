// The tokens of a text on the page: spans that can be pointed at, focused and opened.

import { nodesOf, percent } from './format.js';
import { parts, textOf, units } from './tokens.js';

/** Bits of surprise at which the colour is full. */
const FULL = 8;
/** Units after which the next line begins a new part of the text: the browser lays out a part anew for each unit that it gets. */
const PART = 200;

/** A text of tokens in an element. `shown` is told which unit is pointed at or focused, `opened` which one is chosen. */
export class Written {
  constructor(element, { shown, left, opened }) {
    this.element = element;
    this.handlers = { shown, left, opened };
    this.clear();
    element.addEventListener('pointermove', (event) => isMouse(event) && this.#tell('shown', event));
    element.addEventListener('pointerout', () => left());
    element.addEventListener('focusin', (event) => this.#focus(event));
    element.addEventListener('focusout', () => left());
    element.addEventListener('click', (event) => this.#tell('opened', event));
    element.addEventListener('keydown', (event) => this.#key(event));
  }

  clear() {
    this.tokens = [];
    /** Of each unit: its element and its tokens. */
    this.units = [];
    this.element.replaceChildren();
    this.part = undefined;
    /** The element that Tab reaches: the one that was focused last. */
    this.reached = undefined;
  }

  /** Appends tokens. */
  add(tokens) {
    for (const token of tokens) this.tokens.push(token);
    // The last unit may grow: it is made anew.
    const last = this.units.at(-1);
    const grows = last && textOf(last.tokens.flatMap((token) => token.bytes)) === undefined;
    const begin = grows ? last.begin : this.tokens.length - tokens.length;
    if (grows) this.#removeLast();
    let at = begin;
    for (const unit of units(this.tokens.slice(begin))) {
      const element = unitElement(unit);
      element.tabIndex = this.reached ? -1 : 0;
      this.reached ??= element;
      element.dataset.unit = this.units.length;
      this.units.push({ element, tokens: unit, begin: at });
      this.#append(element);
      at += unit.length;
    }
  }

  /** Puts a unit at the end. */
  #append(element) {
    if (!this.part) {
      this.part = document.createElement('span');
      this.part.className = 'part';
      this.element.append(this.part);
    }
    this.part.append(element);
    if (this.part.childElementCount >= PART && element.textContent.endsWith('\n')) this.part = undefined;
  }

  #removeLast() {
    const { element } = this.units.pop();
    element.remove();
    if (this.reached === element) this.reached = undefined;
  }

  /** As a program would read it, with U+FFFD where it is no text. */
  get text() {
    return new TextDecoder().decode(Uint8Array.from(this.tokens.flatMap((token) => token.bytes)));
  }

  #unitOf(event) {
    const element = event.target.closest?.('.unit');
    return element && this.units[Number(element.dataset.unit)];
  }

  #tell(what, event) {
    const unit = this.#unitOf(event);
    if (unit) this.handlers[what](unit);
  }

  #focus(event) {
    const unit = this.#unitOf(event);
    if (!unit) return;
    this.reached.tabIndex = -1;
    this.reached = unit.element;
    this.reached.tabIndex = 0;
    unit.element.setAttribute('aria-label', spoken(unit.tokens));
    this.handlers.shown(unit);
  }

  #key(event) {
    const unit = this.#unitOf(event);
    if (!unit || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.units.indexOf(unit);
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.units.length - 1,
      ArrowDown: this.#line(at, 1), ArrowUp: this.#line(at, -1),
    }[event.key];
    if (event.key === 'Enter' || event.key === ' ') this.handlers.opened(unit);
    else if (to === undefined) return;
    else this.units[to]?.element.focus();
    event.preventDefault();
  }

  /** The unit above or below. */
  #line(at, step) {
    const box = (index) => this.units[index].element.getBoundingClientRect();
    const from = box(at);
    let line;
    let best = at;
    for (let index = at + step; this.units[index]; index += step) {
      const here = box(index);
      if (Math.abs(here.top - from.top) < here.height / 2) continue;
      line ??= here.top;
      if (Math.abs(here.top - line) > here.height / 2) break;
      const distance = Math.abs(here.left - from.left);
      if (best === at || distance < Math.abs(box(best).left - from.left)) best = index;
    }
    return best;
  }
}

/** Whether somebody moves a mouse: not where a text is scrolled below it, nor what browsers make up after a touch. */
function isMouse(event) {
  return event.pointerType === 'mouse' && (event.movementX !== 0 || event.movementY !== 0);
}

function unitElement(tokens) {
  const element = document.createElement('span');
  const shown = parts(tokens.flatMap((token) => token.bytes));
  element.className = 'unit';
  element.role = 'button';
  element.classList.toggle('by-hand', tokens.some((token) => token.byHand));
  element.classList.toggle('nothing', shown.length === 0);
  element.classList.toggle('line-end', shown.some((part) => part.text?.includes('\n')));
  element.append(...nodesOf(shown, { visible: false }));
  element.style.setProperty('--surprise', `${100 * Math.min(1, surprise(tokens) / FULL)}%`);
  return element;
}

/** Bits of surprise of tokens together. */
function surprise(tokens) {
  return -tokens.reduce((sum, token) => sum + (token.logprob ?? 0), 0) / Math.LN2;
}

function spoken(tokens) {
  const text = textOf(tokens.flatMap((token) => token.bytes));
  const names = { ' ': 'blank', '\n': 'line end', '': 'no text' };
  return `${text === undefined ? 'bytes' : names[text] ?? text}, ${percent(-surprise(tokens) * Math.LN2)}`;
}
