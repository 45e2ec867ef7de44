/* The pages that the server renders: what a link, a form or time asks for is fetched, and replaces what differs. */

import { $, copy, logout, parsed, renew, theme } from "./page.js";

const LONGEST = 300; // seconds between requests that fail
let timer, running, wait;

/* Show the page at an address, or only the part that its hash names. */
async function show(address) {
  const url = new URL(address, location), signal = (running?.abort(), (running = new AbortController()).signal);
  clearTimeout(timer);
  const response = await fetch(url, { signal }).catch(() => Response.error());
  if (response.status === 401) return location.reload(); // leads to the login, and back
  const next = parsed(await response.text().catch(() => ""));
  if (signal.aborted) return;
  const id = response.ok ? url.hash.slice(1) : "problem", to = id ? next.getElementById(id) : next.body;
  wait = response.ok ? 0 : Math.min(2 * (wait || every()), LONGEST);
  $("#stale").hidden = Boolean(to);
  if (to) renew(id ? $(`#${id}`) : document.body, to);
  later();
  dispatchEvent(new Event("shown"));
  return id && response.ok ? $(`#${id} [tabindex="-1"]`) : null;
}

const every = () => +$("main").dataset.every; // seconds
function later() {
  clearTimeout(timer);
  if (every() && !document.hidden && $("#live")?.checked !== false) timer = setTimeout(show, 1000 * (wait || every()), location.search);
}

/* Go to an address of this page, as a new step of the browser's history. */
export async function go(address) {
  const changed = new URL(address, location).href !== location.href;
  if (changed) history.pushState(null, "", address);
  (await show(address))?.focus();
}

addEventListener("click", (event) => {
  const { target } = event, link = target.closest("a"), text = target.dataset.copy;
  if (text) copy(text);
  if (target.dataset.act === "theme") theme();
  if (target.dataset.act === "logout") logout().catch(() => location.reload()); // the session ended before
  if (link?.pathname !== location.pathname || link.hreflang || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(link.href);
});
for (const name of ["submit", "input"]) addEventListener(name, (event) => {
  const form = event.target.closest("form");
  if (!form) return;
  event.preventDefault();
  const address = `?${new URLSearchParams(new FormData(form))}${new URL(form.action).hash}`;
  history.replaceState(null, "", address);
  show(address);
});
addEventListener("popstate", () => show(location.search));
addEventListener("change", ({ target }) => target.id === "live" && (target.checked ? show(location.search) : later()));
document.addEventListener("visibilitychange", () => (document.hidden || !every() ? later() : show(location.search)));
later();
