// Requests to the server.

import { askForToken, authorization } from './access.js';
import { failureOf } from './failure.js';

/** Sends a request and gives the answer where it succeeded; asks for a token where the server wants one. */
export async function send(method, path, { body, signal } = {}) {
  for (;;) {
    const headers = { ...authorization(), ...(body && { 'Content-Type': 'application/json' }) };
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
    if (response.ok) return response;
    if (response.status === 401 && await askForToken()) continue;
    throw await failureOf(response);
  }
}

async function json(method, path, body) {
  return (await send(method, path, { body })).json();
}

export const models = async () => (await json('GET', 'v1/models')).data;
export const tokenize = async (model, text) => (text ? (await json('POST', 'v1/tokenize', { model, text })).tokens : []);

const stateAt = (id) => `v1/states/${encodeURIComponent(id)}`;
export const listStates = (after) => json('GET', `v1/states?limit=20${after ? `&after=${encodeURIComponent(after)}` : ''}`);
export const makeState = (wanted) => json('POST', 'v1/states', wanted);
export const changeState = (id, changes) => json('POST', stateAt(id), changes);
export const forkState = (id, name) => json('POST', `${stateAt(id)}/fork`, name ? { name } : {});
export const deleteState = (id) => json('DELETE', stateAt(id));
