/* Filters as chips with counts; each opens the values that images have. An address is the page's query string. */

import { $, call, day, h, number, side, t } from "./page.js";

const bar = $("#filters");
const NAMES = ["where", "one_per", "exclude_same_patient"];
const COLUMNS = ["modality", "body_part", "view_position", "laterality", "study_date", "manufacturer"];
let drawn;

export const filtered = (address) => NAMES.some((name) => address.has(name));
/* What of an address is a filter; of another one what is none. */
export const only = (address) => new URLSearchParams([...address].filter(([name]) => NAMES.includes(name)));
const without = (address) => new URLSearchParams([...address].filter(([name]) => !NAMES.includes(name)));

/* Draw the chips of an address; `want` is called with the address that a user chooses. */
export async function draw(address, want) {
  drawn = address;
  const where = address.getAll("where");
  const asked = new URLSearchParams(where.map((one) => ["where", one]));
  // without counts what is chosen can be taken back all the same
  const { facets } = await call(`api/facets?${asked}`).catch(() => ({ facets: [] }));
  if (drawn !== address) return;
  const narrow = (column, wanted) => {
    const next = new URLSearchParams(address);
    next.delete("where");
    for (const one of [...where.filter((one) => !one.startsWith(column)), ...wanted]) next.append("where", one);
    want(next);
  };
  const toggle = (name, value, label) => h("button", { type: "button", className: "chip", id: name, "aria-pressed": address.has(name), onclick: () => {
    const next = new URLSearchParams(address);
    if (next.has(name)) next.delete(name);
    else next.set(name, value);
    want(next);
  } }, t(label));
  const chips = COLUMNS.map((name) => {
    const values = facets.find(({ column }) => column === name)?.values ?? [];
    return chip(name, values, where.filter((one) => one.startsWith(name)), (wanted) => narrow(name, wanted));
  });
  const [open, focused] = [$("[open]", bar)?.id, bar.contains(document.activeElement) && document.activeElement.id];
  bar.replaceChildren(...chips, toggle("exclude_same_patient", "true", "samePatient"), toggle("one_per", "patient", "onePer"));
  if (filtered(address)) bar.append(h("button", { type: "button", onclick: () => want(without(address)) }, t("clear")));
  if (open) $(`#${open}`).open = true;
  if (focused) $(`[id="${focused}"]`)?.focus();
}

const shown = (name, value) => (!value ? t("none") : name === "laterality" ? side(value) : value);

function chip(name, values, own, want) {
  const date = name === "study_date";
  const choices = values.map(({ value, images, where }, index) => {
    const checked = where.every((one) => own.includes(one));
    // days are one range: another year takes its place; of other columns any of several values will do
    const others = date ? [] : own.filter((one) => !where.includes(one));
    const box = h("input", { type: "checkbox", checked, id: `${name}-${index}`, onchange: () => want(checked ? others : [...others, ...where]) });
    return h("label", {}, box, shown(name, value), h("span", { className: "count" }, number(images)));
  });
  const [from, until] = [">=", "<"].map((sign) => own.find((one) => one.startsWith(name + sign))?.slice(name.length + sign.length));
  const chosen = from || until ? [from, shifted(until, -1)].map((one) => (one ? day(one) : "…")).join(" – ")
    : own.map((one) => shown(name, one.slice(name.length + 1))).join(", ");
  if (date) choices.push(days(from, until, want));
  return h("details", { className: chosen ? "chip on" : "chip", id: name },
    h("summary", { id: `${name}-chip` }, t(name), h("b", {}, chosen || t("any"))), h("div", { className: "menu" }, choices));
}

const shifted = (iso, days) => iso && new Date(Date.parse(iso) + days * 864e5).toISOString().slice(0, 10);

function days(from, until, want) {
  const field = (id, value) => h("input", { type: "date", id, value: value ?? "", onchange: () => {
    const [first, last] = ["date-from", "date-until"].map((one) => $(`#${one}`).value);
    want([first && `study_date>=${first}`, last && `study_date<${shifted(last, 1)}`].filter(Boolean));
  } });
  return h("p", {}, h("label", {}, t("from"), field("date-from", from)), h("label", {}, t("until"), field("date-until", shifted(until, -1))));
}
