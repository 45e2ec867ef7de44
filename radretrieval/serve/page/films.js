/* The two large films, query and hit, and the tools over them. */

import { $, h, number, t } from "./page.js";
import { FilmView, TEXTS, compare, link } from "./viewer.js";

const blocks = [$("#query-film"), $("#hit-film")];
const views = blocks.map((block) => new FilmView(block));
const [query, hit] = views;
const button = (act, value = "") => $(`[data-act="${act}"][data-value="${value}"]`);
const press = (one, on) => one.setAttribute("aria-pressed", on);
let active = query; // what tools act on
let unlink = null;
let uncompare = null;

/* Show the query (0) or a hit (1) under this caption, at the place (state) of an earlier view; null for none. */
export async function show(which, film, label, caption = [], state) {
  stop();
  $("figcaption", blocks[which].parentElement).replaceChildren(...caption);
  if (!film) return views[which].clear();
  await views[which].show(film, { label, state });
  if (which === 0) presets();
}

export function mode(name) {
  query.mode = name;
  hit.mode = name === "region" ? "pan" : name;
  for (const one of document.querySelectorAll("[data-act=mode]")) press(one, one.dataset.value === name);
}

export const tool = (name) => active[name]();

export function region(box) {
  query.region = box;
  $("#roi").value = box ? Object.values(box).join(", ") : "";
  $("[data-act=noregion]").disabled = !box;
}

/* Draw where the region was found in the hit. */
export function found(roi) {
  hit.boxes = roi?.found ? [{ ...roi, label: number(roi.score, 2) }] : [];
}

export function toggleLink() {
  unlink = unlink ? unlink() : link(views);
  press(button("link"), Boolean(unlink));
}

export function toggleCompare(way) {
  const again = button("compare", way).ariaPressed === "true";
  stop();
  if (again) return;
  uncompare = compare(query, hit, way);
  press(button("compare", way), true);
}

function stop() {
  uncompare = uncompare?.();
  for (const way of ["flicker", "overlay"]) press(button("compare", way), false);
}

export function full() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("#films").requestFullscreen?.();
}

/* The windows of the file and of its body part, its VOI LUT, and the full range. */
function presets() {
  const windows = [["range", t("presetRange")], ...active.presets.map(({ name, centre, width }, preset) => [JSON.stringify({ preset }), name || `${centre} / ${width}`])];
  if (active.film?.lut) windows.unshift(["lut", t("presetLut")]);
  $("#preset").replaceChildren(h("option", { value: "" }, t("preset")), ...windows.map(([value, name]) => h("option", { value }, name)));
}

/* Connect the tools; `drawn` is called with the region that is drawn or typed. */
export function connect(drawn) {
  Object.assign(TEXTS, t("viewer"));
  $("#preset").addEventListener("change", ({ target }) => {
    active.window = target.value.startsWith("{") ? JSON.parse(target.value) : target.value;
    target.value = "";
  });
  $("#place").addEventListener("submit", (event) => {
    event.preventDefault();
    const [x, y, width, height] = $("#roi").value.match(/\d+/g)?.map(Number) ?? [];
    drawn(height ? { x, y, width, height } : null);
  });
  blocks[0].addEventListener("region", ({ detail }) => drawn(detail));
  blocks.forEach((block, which) => block.addEventListener("focusin", () => {
    active = views[which];
    presets();
  }));
  toggleLink();
  mode("window");
}
