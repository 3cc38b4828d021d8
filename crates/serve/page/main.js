// The page: a prompt, two texts, the states.

import { makeState, models, tokenize } from './api.js';
import { Failure, showTrouble } from './failure.js';
import { size } from './format.js';
import { listen } from './keys.js';
import { Lane } from './lane.js';
import { settings } from './settings.js';
import { States } from './states.js';

const find = (selector) => document.querySelector(selector);
const [model, prompt, trouble, announce] = ['#model', '#prompt', '#trouble', '#announce'].map(find);

/** What stands in an empty prompt. */
const EXAMPLE = prompt.placeholder;

/** The state that the next text goes on from. */
let from;
/** The prompt that stood there before. */
let aside;
let cards = [];

const actions = { fork, goOn: (lane) => trying(() => goOn(lane)), keep: (lane) => trying(() => keep(lane)), changed };
const lanes = [
  new Lane('Text A', 'The text appears here. Point at a piece of it to see how probable it was and what else could have stood there; click another to fork.', actions),
  new Lane('Text B', 'Forks appear here, beside the text that they come from. “Write two” writes both.', actions),
];
find('#lanes').append(...lanes.map((lane) => lane.root));
const states = new States({ use: goOnFrom, gone: (id) => from?.id === id && goOnFrom(undefined) });

/** Does something; what goes wrong is told under the prompt. */
async function trying(action) {
  try {
    showTrouble(trouble);
    await action();
  } catch (error) {
    showTrouble(trouble, error);
  }
}

/** What a text begins with: the state, if any, and the prompt as tokens. */
async function beginning() {
  const text = prompt.value;
  // A token that was not given at first may be given now.
  if (!cards.length) await start();
  return { model: model.value, state: from, text, ids: await tokenize(model.value, text) };
}

function write(many) {
  const chosen = settings();
  if (!chosen) return;
  trying(async () => {
    const start = await beginning();
    const texts = lanes.slice(0, many).map((lane, at) => lane.write(start, [], { ...chosen, seed: chosen.seed + at }));
    await Promise.all(texts);
  });
}

/** Writes into the other lane: the same text up to a token, another in its place, and on from there. */
function fork(lane, at, choice) {
  const chosen = settings();
  if (!chosen) return;
  const other = lanes.find((one) => one !== lane);
  const tokens = lane.written.tokens;
  const token = { ...choice, alternatives: tokens[at].alternatives, byHand: true };
  other.root.scrollIntoView({ block: 'nearest' });
  trying(() => other.write(lane.start, [...tokens.slice(0, at), token], chosen));
}

async function goOn(lane) {
  const chosen = settings();
  if (chosen) await lane.goOn(chosen);
}

/** Saves the state at the end of a text. */
async function keep(lane) {
  const { model, state } = lane.start;
  states.add(await makeState({ model, prompt: lane.ids, ...(state && { state: state.id }) }));
}

async function keepPrompt() {
  const { model, state, ids } = await beginning();
  states.add(await makeState({ model, prompt: ids, ...(state && { state: state.id }) }));
}

/** The next text goes on from a state, or from none. */
function goOnFrom(state) {
  if (state && !cards.some((card) => card.id === state.model)) throw new Failure(`Its model, ${state.model}, is not served now.`);
  // What a state has read need not be written again.
  if (state && !from) [aside, prompt.value] = [prompt.value, ''];
  if (!state && !prompt.value) prompt.value = aside;
  from = state;
  if (state) model.value = state.model;
  showModel();
  find('#from').hidden = !state;
  find('#from-text').textContent = state ? `Goes on from ${state.name ? `“${state.name}”` : 'a state'} at position ${state.position.toLocaleString('en')}.` : '';
  find('#prompt-label').textContent = state ? 'Write what comes next, or nothing; the model goes on' : 'Write how a text begins; the model goes on';
  prompt.placeholder = state ? '' : EXAMPLE;
  if (state) prompt.focus();
}

/** After texts begin or end. */
function changed(news) {
  find('#stop').disabled = !lanes.some((lane) => lane.isRunning);
  if (news) announce.textContent = news;
}

function stop() {
  lanes.forEach((lane) => lane.stop());
}

function showModel() {
  const card = cards.find((card) => card.id === model.value);
  find('#model-facts').textContent = card ? `${card.vocab.toLocaleString('en')} tokens in its vocabulary, states of ${size(card.state_limit)} at most` : '';
}

async function start() {
  cards = await models();
  model.replaceChildren(...cards.map((card) => new Option(card.id)));
  showModel();
  await states.show();
}

find('#compose').addEventListener('submit', (event) => {
  event.preventDefault();
  write(1);
});
find('#write-two').addEventListener('click', () => write(2));
find('#stop').addEventListener('click', stop);
find('#keep-prompt').addEventListener('click', () => trying(keepPrompt));
find('#from-clear').addEventListener('click', () => goOnFrom(undefined));
find('#tint').addEventListener('change', (event) => find('#lanes').classList.toggle('plain', !event.target.checked));
model.addEventListener('change', () => (from && from.model !== model.value ? goOnFrom(undefined) : showModel()));
listen({ write, stop });
trying(start);
