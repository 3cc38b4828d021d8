// One text: what it begins with, what is written of it, and what can be done with it.

import { showTrouble } from './failure.js';
import { count, size } from './format.js';
import { close, inspect, leave, pin } from './inspector.js';
import { completion } from './stream.js';
import { toldTokens } from './tokens.js';
import { Written } from './written.js';

/** Alternatives of each token. */
const ALTERNATIVES = 10;
/** Milliseconds between two looks at a text. */
const FRAME = 16;
/** Milliseconds in which speed can be measured: tokens may come together, however far apart they were written. */
const MEASURABLE = 100;
/** Characters of the prompt that are shown before the text. */
const SHOWN = 400;

const template = document.querySelector('#lane');

/**
 * A text on the page. `actions`: `fork(lane, at, choice)`, `goOn(lane)`, `keep(lane)`, and `changed()`, called when writing begins
 * and when it ends.
 */
export class Lane {
  constructor(name, empty, actions) {
    this.root = template.content.cloneNode(true).firstElementChild;
    this.name = name;
    this.actions = actions;
    const find = (selector) => this.root.querySelector(selector);
    this.parts = {
      facts: find('.facts'), status: find('.status'), empty: find('.empty'), text: find('.text'), before: find('.before'), caret: find('.caret'), trouble: find('.bad'),
      footer: find('footer'), goOn: find('.go-on'), halt: find('.halt'), copy: find('.copy'), keep: find('.keep'),
    };
    // Pages that are not from this machine get a clipboard over HTTPS only.
    this.parts.copy.hidden = !navigator.clipboard;
    find('.name-of').textContent = name;
    find('.written').ariaLabel = `${name}: arrow keys go from token to token`;
    this.root.ariaLabel = name;
    this.parts.empty.textContent = empty;
    this.written = new Written(find('.written'), {
      shown: (unit) => inspect(unit, this.#fork),
      left: leave,
      opened: (unit) => pin(unit, this.#fork),
    });
    this.parts.goOn.addEventListener('click', () => actions.goOn(this));
    this.parts.halt.addEventListener('click', () => this.stop());
    this.parts.copy.addEventListener('click', () => this.#copy());
    this.parts.keep.addEventListener('click', () => actions.keep(this));
  }

  /** `fork` of the actions, from this lane. */
  #fork = (at, choice) => this.actions.fork(this, at, choice);

  get isRunning() {
    return this.running !== undefined;
  }

  /** Ids of all tokens after the state that the text goes on from, or after its beginning. */
  get ids() {
    return [...this.start.ids, ...this.written.tokens.map((token) => token.id)];
  }

  /**
   * Writes a new text. `start`: `{ model, state, ids, text }`, the state (if any) and the tokens it goes on from; `kept`: tokens
   * that are written already.
   */
  async write(start, kept, settings) {
    this.stop();
    close();
    this.start = start;
    this.written.clear();
    this.written.add(kept);
    const { before, text, empty, footer } = this.parts;
    before.textContent = start.text.length > SHOWN ? `…${start.text.slice(-SHOWN)}` : start.text;
    empty.hidden = true;
    text.hidden = false;
    footer.hidden = false;
    await this.goOn(settings);
  }

  /** Writes on from where the text ends. */
  async goOn(settings) {
    const running = new AbortController();
    this.running = running;
    this.run = { came: [], count: 0, first: 0, last: 0, seed: settings.seed, asked: performance.now(), ended: '' };
    this.#begin();
    try {
      await this.#follow(settings, running);
      showTrouble(this.parts.trouble);
    } catch (error) {
      if (this.running !== running) return;
      this.run.ended = running.signal.aborted ? 'stopped' : 'failed';
      showTrouble(this.parts.trouble, error);
    }
    if (this.running === running) this.#end();
  }

  stop() {
    this.running?.abort();
  }

  async #follow(settings, running) {
    const { model, state } = this.start;
    const request = { model, prompt: this.ids, logprobs: ALTERNATIVES, ...settings, ...(state && { state: state.id }) };
    for await (const choice of completion(request, running.signal)) {
      // A text that was stopped or written anew takes no more.
      running.signal.throwIfAborted();
      this.#take(choice);
      this.soon ??= setTimeout(() => this.#draw(), this.rest);
    }
  }

  #take(choice) {
    const tokens = toldTokens(choice.logprobs);
    const { run } = this;
    run.came.push(...tokens);
    if (tokens.length) {
      run.last = performance.now();
      run.first ||= run.last;
      run.count += tokens.length;
    }
    if (choice.finish_reason) {
      run.ended = choice.finish_reason === 'length' ? 'reached its length' : 'ended';
      run.stateBytes = choice.state_bytes;
    }
  }

  /** Shows what came since the last time. The longer that takes, as it does for a long text, the longer it rests, so that the page can do other things. */
  #draw() {
    clearTimeout(this.soon);
    this.soon = undefined;
    const begin = performance.now();
    const { text } = this.parts;
    const follows = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
    this.written.add(this.run.came.splice(0));
    if (follows) text.scrollTop = text.scrollHeight;
    this.#tell();
    this.rest = Math.max(FRAME, 4 * (performance.now() - begin));
  }

  #begin() {
    showTrouble(this.parts.trouble);
    this.#enable();
    this.#tell();
    this.actions.changed();
  }

  #end() {
    this.running = undefined;
    this.#draw();
    this.#enable();
    this.actions.changed(`${this.name}: ${count(this.run.count, 'token')} written, ${this.run.ended}.`);
  }

  #enable() {
    const { goOn, halt, copy, keep, caret } = this.parts;
    [goOn, copy, keep].forEach((button) => { button.disabled = this.isRunning; });
    halt.disabled = !this.isRunning;
    caret.hidden = !this.isRunning;
  }

  /** Tokens, speed, position, size of the state. */
  #tell() {
    const { run } = this;
    const facts = [count(this.written.tokens.length, 'token')];
    this.parts.status.textContent = run.ended || (run.count ? 'writing…' : 'reading…');
    if (run.count) facts.push(`${speed(run).toFixed(1)} tokens/s`);
    facts.push(`position ${this.#position().toLocaleString('en')}`);
    if (run.stateBytes !== undefined) facts.push(`state ${size(run.stateBytes)}`);
    if (run.first) facts.push(`first after ${((run.first - run.asked) / 1000).toFixed(2)} s`);
    facts.push(`seed ${run.seed}`);
    this.parts.facts.textContent = facts.join(' · ');
  }

  /** Tokens that were read: the token that begins a document is one, where the text begins anew. */
  #position() {
    return (this.start.state?.position ?? 1) + this.start.ids.length + this.written.tokens.length;
  }

  async #copy() {
    await navigator.clipboard.writeText(this.start.text + this.written.text);
    this.actions.changed('Copied.');
  }
}

/** Tokens a second: without the first, for which the prompt had to be read, where there is time enough to tell. */
function speed({ count, asked, first, last }) {
  return 1000 * (last - first > MEASURABLE ? (count - 1) / (last - first) : count / (last - asked));
}
