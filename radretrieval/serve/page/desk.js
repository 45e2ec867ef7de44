/* What the pages for IT and for analysts share: head, problems, tables, times. */

import { $, $$, call, day, h, kept, language, load, number } from "./page.js";

const root = document.documentElement;

/* Texts, theme and user; `draw` is called again when the language changes. */
export async function begin(draw) {
  root.dataset.theme = kept("theme") ?? "";
  $("#theme").onclick = () => (root.dataset.theme = kept("theme", getComputedStyle(root).colorScheme === "light" ? "dark" : "light"));
  await load();
  $("#language").value = language;
  $("#language").onchange = ({ target }) => load(target.value).then(draw);
  const { user, roles } = await call("api/session");
  $("#user").textContent = user === "local" ? "" : user;
  for (const one of $$("[data-role]")) one.hidden = !roles.includes(one.dataset.role);
}

/* Say what went wrong; nothing, where nothing did. */
export function problem(error) {
  $("#problem").hidden = !error;
  $("#problem").replaceChildren(h("strong", {}, error?.title), h("span", {}, error?.message));
}

export const share = (value, digits = 1) => `${number(100 * value, digits)} %`;
const PLAIN = { number: (value) => number(value), share, ago, day };

/* Fill a table: its heads say the field (data-f) and how it is written (data-k: one of `cells`, or of those above). One
   that is as it was is left alone, for the sake of focus and selection. */
export function fill(table, rows, cells) {
  const heads = [...table.tHead.rows[0].cells].map(({ dataset }) => dataset);
  const cell = (row, { f, k }) => (cells[k] ? cells[k](row[f], row) : row[f] == null ? "–" : (PLAIN[k] ?? String)(row[f]));
  const body = h("tbody", {}, rows.map((row) => h("tr", {}, heads.map((head) => h("td", { className: head.k ?? "" }, cell(row, head))))));
  const [last] = table.tBodies, focused = document.activeElement.id;
  if (last?.isEqualNode(body)) return;
  last?.remove();
  table.append(body);
  document.getElementById(focused)?.focus();
}

const STEPS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

/* How long ago something was; the moment itself is the tooltip. */
export function ago(iso) {
  const then = new Date(iso), seconds = Math.max(1, (Date.now() - then) / 1000);
  const [size, unit] = STEPS.find(([least]) => seconds >= least);
  const said = new Intl.RelativeTimeFormat(language).format(-Math.floor(seconds / size), unit);
  return h("time", { dateTime: iso, title: then.toLocaleString(language) }, said);
}
