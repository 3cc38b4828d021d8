// The states that the server keeps.

import { changeState, deleteState, forkState, listStates } from './api.js';
import { showTrouble } from './failure.js';
import { ago, size, until } from './format.js';

const section = document.querySelector('#states');
const list = document.querySelector('#states-list');
const none = document.querySelector('#states-none');
const more = document.querySelector('#states-more');
const trouble = document.querySelector('#states-trouble');
const template = document.querySelector('#state');

/** Shows the states; `use` is called with one to go on from, `gone` with the id of one that was deleted. */
export class States {
  constructor({ use, gone }) {
    this.use = use;
    this.gone = gone;
    more.addEventListener('click', () => this.#trying(() => this.#page(this.last)));
  }

  /** Reads the list anew. */
  async show() {
    section.hidden = false;
    await this.#trying(() => this.#page());
  }

  /** Puts a state that was made on top of the list, ready to be named. */
  add(state) {
    const row = this.#row(state);
    list.prepend(row);
    none.hidden = true;
    row.querySelector('.name').focus();
  }

  async #page(after) {
    const page = await listStates(after);
    if (!after) list.replaceChildren();
    list.append(...page.data.map((state) => this.#row(state)));
    this.last = page.last_id;
    more.hidden = !page.has_more;
    none.hidden = list.children.length > 0;
  }

  /** Says what went wrong. */
  async #trying(action) {
    try {
      showTrouble(trouble);
      await action();
    } catch (error) {
      showTrouble(trouble, error);
    }
  }

  #row(state) {
    const row = template.content.cloneNode(true).firstElementChild;
    const find = (selector) => row.querySelector(selector);
    const name = find('.name');
    const saveName = find('.save-name');
    const draw = (changed) => {
      state = changed;
      row.dataset.state = state.id;
      name.value = state.name ?? '';
      saveName.hidden = true;
      find('.facts').textContent = facts(state);
      find('.pin').textContent = state.pinned ? 'Unpin' : 'Pin';
      find('.pin').title = state.pinned ? 'Let the server delete it when room is needed' : 'Keep it even when room is needed';
    };
    const click = (selector, action) => find(selector).addEventListener('click', () => this.#trying(action));
    name.addEventListener('input', () => { saveName.hidden = name.value === (state.name ?? ''); });
    find('.name-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#trying(async () => draw(await changeState(state.id, { name: name.value })));
    });
    click('.use', () => this.use(state));
    click('.fork', async () => this.add(await forkState(state.id, state.name && `${state.name} (copy)`)));
    click('.pin', async () => draw(await changeState(state.id, { pinned: !state.pinned })));
    const remove = find('.delete');
    const sure = (is) => {
      remove.classList.toggle('sure', is);
      remove.textContent = is ? 'Really delete?' : 'Delete';
    };
    remove.addEventListener('blur', () => sure(false));
    click('.delete', async () => {
      if (!remove.classList.contains('sure')) return sure(true);
      await deleteState(state.id);
      row.remove();
      none.hidden = list.children.length > 0;
      this.gone(state.id);
    });
    draw(state);
    return row;
  }
}

function facts({ model, position, bytes, used, expires, pinned }) {
  const told = [`position ${position.toLocaleString('en')}`, size(bytes), model, `used ${ago(used)}`];
  if (pinned) told.push('pinned');
  else if (expires !== null) told.push(`deleted ${until(expires)} if unused`);
  return told.join(' · ');
}
