// How tokens are chosen.

const form = document.querySelector('#settings');
const summary = document.querySelector('#settings-summary');
const fields = [...form.querySelectorAll('input')];

/** The settings of a request; fields that were left empty are not in it, but a seed is. `undefined` where one is wrong. */
export function settings() {
  const wrong = fields.find((field) => !field.checkValidity());
  if (wrong) {
    form.open = true;
    wrong.reportValidity();
    return undefined;
  }
  return { seed: randomSeed(), ...written() };
}

function written() {
  return Object.fromEntries(fields.filter((field) => field.value !== '').map((field) => [field.name, field.valueAsNumber]));
}

/** Few digits, so that it can be typed again. */
function randomSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
}

function summarise() {
  const shown = ({ name, value }) => `${name.replace('_', ' ')} ${value}`;
  summary.textContent = fields.filter((field) => field.value !== '').map(shown).join(' · ').replace('max tokens', 'length');
}

form.addEventListener('input', summarise);
summarise();
