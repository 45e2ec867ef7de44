/* What the page's modules share: elements, texts, requests, and choices that the browser keeps. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector) => [...document.querySelectorAll(selector)];

/* An element with properties (with a dash: attributes) and children; data never becomes markup. */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) name.includes("-") ? made.setAttribute(name, value) : (made[name] = value);
  made.append(...children.flat().filter((child) => child || child === 0));
  return made;
}

/* What the reader chose; a browser that keeps nothing forgets it. */
export function kept(name, value) {
  try {
    if (value) localStorage.setItem(`radretrieval.${name}`, value);
    return localStorage.getItem(`radretrieval.${name}`);
  } catch {
    return null;
  }
}

let words = {};
export let language;

/* Write the texts of a language: the one asked for, that of the last visit, the browser's, or English. */
export async function load(wanted) {
  const known = [kept("language", wanted), ...navigator.languages, "en"].map((one) => one?.slice(0, 2));
  language = document.documentElement.lang = known.find((one) => one === "en" || one === "de");
  words = await call(`texts/${language}.json`);
  for (const one of $$("[data-t]")) one.textContent = t(one.dataset.t);
  for (const one of $$("[data-p]")) one.placeholder = t(one.dataset.p);
  for (const one of $$("[data-l]")) {
    one.ariaLabel = t(one.dataset.l);
    if (one.dataset.key) one.title = `${one.ariaLabel} (${one.dataset.key.toUpperCase()})`;
  }
}

export const t = (key, values) => words[key]?.replace?.(/\{(\w+)\}/g, (_, name) => values[name]) ?? words[key] ?? key;
export const number = (value, digits = 0) => value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const day = (iso) => new Date(iso).toLocaleDateString(language, { dateStyle: "medium", timeZone: "UTC" });
export const side = (value) => words[`side${value}`] ?? value;
/* Whole percent, never 0 or 100, and the step of the words for it: as the command line says them. */
export const percent = (share) => `${Math.min(Math.max(Math.round(100 * share), 1), 99)}\u00a0%`;
export const step = (share) => [95, 75, 25, 5, 0].find((one) => 100 * share >= one);

/* Parameters without some names, and with others. */
export const changed = (all, names, add = []) => new URLSearchParams([...[...all].filter(([name]) => !names.includes(name)), ...add]);

let token = "";

/* Ask the service: GET, or POST of a form or an object; `file`: the answer is one. What it refuses is an error with the
   `detail` of its problem document (RFC 9457), and a title and the status, 0 where it was not reached. */
export async function call(path, content, { signal, file } = {}) {
  const object = content && !(content instanceof FormData);
  const headers = { ...(content && { "X-CSRF-Token": token }), ...(object && { "Content-Type": "application/json" }) };
  const method = content ? "POST" : "GET", body = object ? JSON.stringify(content) : content;
  const response = await fetch(path, { method, headers, body, signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return Response.error();
  });
  const { ok, status } = response;
  if (ok && file) return response.blob();
  const answer = await response.json().catch((why) => (signal?.aborted ? Promise.reject(why) : {})); // HTML, or nothing
  token = answer.csrf ?? token;
  if (ok) return answer;
  const title = words[`status${status}`] ?? words[status < 500 ? "status400" : "status500"];
  throw Object.assign(new Error(answer.detail ?? ""), { status, title });
}

/* Copy text; whether the browser let it. Plain HTTP has no clipboard, but selections. */
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const field = h("textarea", { value: text, className: "hidden" }), focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused.focus();
  return done;
}
