// The token that a server may ask for. It lives as long as the tab.

const KEY = 'percept.token';
const dialog = document.querySelector('#access');
const field = document.querySelector('#token');
const wrong = document.querySelector('#access-wrong');
const forget = document.querySelector('#forget');

let asked;

/** Headers that show the token, where there is one. */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Asks for a token; many that ask at once share one question. True where one was given. */
export function askForToken() {
  asked ??= ask().finally(() => { asked = undefined; });
  return asked;
}

async function ask() {
  wrong.hidden = sessionStorage.getItem(KEY) === null;
  field.value = '';
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  const token = field.value.trim();
  field.value = '';
  if (dialog.returnValue !== 'ok' || !token) return false;
  sessionStorage.setItem(KEY, token);
  showForget();
  return true;
}

function showForget() {
  forget.hidden = sessionStorage.getItem(KEY) === null;
}

forget.addEventListener('click', () => {
  sessionStorage.removeItem(KEY);
  location.reload();
});
showForget();
