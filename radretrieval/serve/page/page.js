/* What the page's modules share: elements, texts, requests, and what readers choose. */

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector) => [...document.querySelectorAll(selector)];

export const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/* An element with properties (with a dash: attributes) and children; data never becomes markup. */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) name.includes("-") ? made.setAttribute(name, value) : (made[name] = value);
  made.append(...children.flat().filter((child) => child || child === 0));
  return made;
}

const { lang, dataset } = document.documentElement;

export const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

/* Make an element what another one is. What is alike stays, for the sake of focus and selection; so does what a script
   made (data-own), and what the reader opened. */
export function renew(now, next) {
  if (now.isEqualNode(next) || now.dataset?.own === "") return;
  const [old, made] = [now, next].map(({ childNodes }) => [...childNodes]), focused = document.activeElement.id;
  if (!old.length || now.nodeName !== next.nodeName || now.id !== next.id || old.length !== made.length) {
    now.replaceWith(next);
    return document.getElementById(focused)?.focus();
  }
  for (const name of now.getAttributeNames()) if (name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
  for (const { name, value } of next.attributes) now.setAttribute(name, value);
  old.forEach((one, index) => renew(one, made[index]));
}

/* Keep what the reader chose: the server writes the page with it. */
export function keep(name, value) {
  document.cookie = `radretrieval-${name}=${value}; max-age=31536000; samesite=lax`;
}
// the link to the other language leads to what is shown, which the address of the page says
$("#language")?.addEventListener("click", ({ target }) => (target.search = changed(new URLSearchParams(location.search), ["lang"], [["lang", target.lang]])));
export const theme = () => keep("theme", (dataset.theme = getComputedStyle(document.documentElement).colorScheme === "light" ? "dark" : "light"));

const words = JSON.parse($("#texts")?.textContent ?? "{}"); // of the language that the page is in
export const t = (key, values) => words[key]?.replace?.(/\{(\w+)\}/g, (_, name) => values[name]) ?? words[key] ?? key;

/* What the service refuses, as the reader's language has it. */
const refused = (said) => {
  for (const [pattern, text] of Object.entries(words.refused ?? {})) {
    const found = said.match(`^(?:${pattern})$`);
    if (found) return text.replace(/\{(\d)\}/g, (_, place) => found[place]);
  }
  return said;
};
export const number = (value, digits = 0) => value.toLocaleString(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/* Parameters without some names, and with others. */
export const changed = (all, names, add = []) => new URLSearchParams([...[...all].filter(([name]) => !names.includes(name)), ...add]);

/* Ask the service: GET, or POST of a form or an object; `file`, `html`: the answer is one. What it refuses is an error with the
   `detail` of its problem document (RFC 9457), and a title and the status, 0 where it was not reached. */
export async function call(path, content, { signal, file, html } = {}) {
  const object = content && !(content instanceof FormData);
  const headers = { ...(content && { "X-CSRF-Token": dataset.csrf }), ...(object && { "Content-Type": "application/json" }) };
  const method = content ? "POST" : "GET", body = object ? JSON.stringify(content) : content;
  const response = await fetch(path, { method, headers, body, signal }).catch((error) => {
    if (error.name === "AbortError") throw error;
    return Response.error();
  });
  const { ok, status } = response;
  if (ok && file) return response.blob();
  if (ok && html) return parsed(await response.text());
  const answer = await response.json().catch((why) => (signal?.aborted ? Promise.reject(why) : {})); // HTML, or nothing
  if (ok) return answer;
  const title = words[`status${status}`] ?? words[status < 500 ? "status400" : "status500"];
  const { detail = "" } = answer;
  throw Object.assign(new Error(refused(detail)), { status, title, detail });
}

export const logout = async () => (location.href = (await call("api/logout", {})).next);

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
