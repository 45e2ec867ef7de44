/* What the pages for IT and for analysts share: head, problems, tables, times. */

import { $, call, day, h, kept, language, load, number, t } from "./page.js";

const root = document.documentElement;

/* Texts, theme and user; `draw` is called again when the language changes. */
export async function begin(draw) {
  const theme = (value) => (root.dataset.theme = value);
  theme(kept("theme") ?? "");
  const texts = async (wanted) => {
    await load(wanted);
    document.title = `${$("header strong").textContent} · radretrieval`;
  };
  await texts();
  $("#language").value = language;
  $("#language").onchange = async ({ target }) => draw(await texts(target.value));
  $("#theme").onclick = () => kept("theme", theme(getComputedStyle(root).colorScheme === "light" ? "dark" : "light"));
  const me = await call("api/session");
  $("#user").textContent = me.user === "local" ? "" : me.user;
  for (const one of document.querySelectorAll("[data-role]")) one.hidden = !me.roles.includes(one.dataset.role);
}

/* Say what went wrong; nothing, where nothing did. */
export function problem(error) {
  $("#problem").hidden = !error;
  $("#problem").replaceChildren(h("strong", {}, error?.title ?? ""), h("span", {}, error?.message ?? ""));
}

export const share = (value, digits = 1) => `${number(100 * value, digits)} %`;

/* How values are written, by the data-k of a column. */
const CELLS = { number: (value) => number(value), share, ago, day };

/* Fill a table. Its heads say what stands below them: data-f the field, data-k how it is written, by `cells` or as above.
   A table that is as it was is left alone, for the sake of focus and selection. */
export function fill(table, rows, cells = {}) {
  const heads = [...table.tHead.rows[0].cells].map(({ dataset }) => dataset);
  const cell = (row, { f, k }) => (cells[k] ? cells[k](row[f], row) : row[f] == null ? null : (CELLS[k] ?? String)(row[f]));
  const body = rows.map((row) => h("tr", {}, heads.map((head) => h("td", { className: head.k ?? "" }, cell(row, head) ?? "–"))));
  const focused = table.contains(document.activeElement) && document.activeElement.id;
  const next = h("tbody", {}, body), last = table.tBodies[0];
  if (last?.isEqualNode(next)) return;
  last?.remove();
  table.append(next);
  if (focused) $(`[id="${CSS.escape(focused)}"]`)?.focus();
}

const STEPS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

/* How long ago something was; the moment itself is the tooltip. */
export function ago(iso) {
  const then = new Date(iso), seconds = Math.max(1, (Date.now() - then) / 1000);
  const [size, unit] = STEPS.find(([least]) => seconds >= least);
  const said = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(-Math.floor(seconds / size), unit);
  return h("time", { dateTime: iso, title: then.toLocaleString(language) }, said);
}
