/* Filters as chips with counts; each opens the values images have. */

import { $, call, changed, h, number, side, t } from "./page.js";

const bar = $("#filters");
export const NAMES = ["where", "one_per", "exclude_same_patient"];
const COLUMNS = ["modality", "body_part", "view_position", "laterality", "study_date", "manufacturer"];
let drawn;

/* Draw the chips of an address; `want` is called with the one a user chooses. */
export async function draw(address, want) {
  drawn = address;
  const where = address.getAll("where");
  const conditions = (list) => list.map((one) => ["where", one]);
  // without counts, what is chosen can be taken back all the same
  const { facets } = await call(`api/facets?${new URLSearchParams(conditions(where))}`).catch(() => ({ facets: [] }));
  if (drawn !== address) return;
  const chips = COLUMNS.map((name) => {
    const own = where.filter((one) => one.startsWith(name)), others = where.filter((one) => !own.includes(one));
    const values = facets.find(({ column }) => column === name)?.values ?? [];
    return chip(name, values, own, (wanted) => want(changed(address, ["where"], conditions([...others, ...wanted]))));
  });
  const toggle = (name, value, label) => {
    const on = address.has(name), onclick = () => want(changed(address, [name], on ? [] : [[name, value]]));
    return h("button", { className: "chip", id: name, ariaPressed: on, onclick }, t(label));
  };
  const open = $("[open]", bar)?.id, focused = bar.contains(document.activeElement) && document.activeElement.id;
  bar.replaceChildren(...chips, toggle("exclude_same_patient", true, "samePatient"), toggle("one_per", "patient", "onePer"));
  const plain = changed(address, NAMES);
  if (plain.size < address.size) bar.append(h("button", { id: "clear", onclick: () => want(plain) }, t("clear")));
  if (open) $(`#${open}`).open = true;
  if (focused) ($(`[id="${focused}"]`) ?? $("summary", bar)).focus();
}

function chip(name, values, own, want) {
  const shown = (value) => (name === "laterality" && side(value)) || value || t("none");
  const chosen = [];
  const choices = values.map(({ value, images, where }, index) => {
    const checked = where.every((one) => own.includes(one));
    if (checked) chosen.push(shown(value));
    // of days one range is asked for, so a year takes the place of another; of other values any will do
    const others = name === "study_date" ? [] : own.filter((one) => !where.includes(one));
    const onchange = () => want(checked ? others : [...others, ...where]);
    return h("label", {}, h("input", { type: "checkbox", id: `${name}-${index}`, checked, onchange }), shown(value), h("i", {}, number(images)));
  });
  const summary = h("summary", { id: `${name}-chip` }, t(name), h("b", {}, chosen.join(", ") || own.join(", ") || t("any")));
  return h("details", { className: own.length ? "chip on" : "chip", id: name, name: "chips" }, summary, h("div", { className: "menu" }, choices));
}
