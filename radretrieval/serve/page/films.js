/* The two large films, query and hit, and the tools over them. */

import { $, $$, h, number, t } from "./page.js";
import { FilmView, link } from "./viewer.js";

const blocks = [$("#query-film"), $("#hit-film")];
const views = blocks.map((block) => new FilmView(block));
const [query, hit] = views;
const press = (act, name) => $$(`[data-act=${act}]`).forEach((one) => (one.ariaPressed = one.dataset.value === name));
let active = query; // what tools act on
let unlink;

/* Show the query (0) or a hit (1) under a caption; a linked hit at the query's place. */
export function show(which, film, label, caption = []) {
  $("figcaption", blocks[which].parentElement).replaceChildren(...caption.filter(Boolean));
  if (!film) return views[which].clear();
  const { zoom, x, y } = query.state;
  const shown = views[which].show(film, { label, state: which && unlink ? { zoom, x, y } : {} });
  if (!which) presets();
  return shown.catch(() => {}); // the film says why it is not shown
}

export function mode(name) {
  query.mode = name;
  hit.mode = name === "region" ? "pan" : name;
  press("mode", name);
  (name === "region" ? query : active).element.focus(); // for its arrow keys; at the start it is not seen, and gets none
}

export const tool = (name) => active[name]();

export function region([x, y, width, height]) {
  if (query.film) query.region = height ? { x, y, width, height } : null;
  $("[data-act=noregion]").disabled = !height;
}

export function found(roi) {
  if (hit.film) hit.boxes = roi?.found ? [{ ...roi, label: number(roi.score, 2) }] : [];
}

export function toggleLink() {
  unlink = unlink ? unlink() : link(views);
  press("link", unlink ? "" : null);
}

/* Lay the hit over the query, by flicker or overlay, at the same place; once more, no longer. */
export function toggleCompare(way) {
  const box = $("#films"), compared = box.className === way ? "" : way;
  box.className = compared;
  box.dataset.turn = "";
  press("compare", compared);
  if (compared && !unlink) toggleLink();
}

function presets() {
  const windows = active.presets.map(({ name, centre, width }, preset) => [JSON.stringify({ preset }), t("part")[name] || name || `${centre} / ${width}`]);
  if (active.film?.lut) windows.unshift(["lut", t("presetLut")]);
  windows.unshift(["", t("preset")], ["range", t("presetRange")]);
  $("#preset").replaceChildren(...windows.map(([value, text]) => h("option", { value }, text)));
}

/* Connect the tools; `drawn` is called with the region that is drawn. */
export function connect(drawn) {
  $("#preset").onchange = ({ target }) => {
    active.window = target.value.startsWith("{") ? JSON.parse(target.value) : target.value;
  };
  $("#preset").onblur = ({ target }) => (target.value = ""); // not before: arrow keys go on from the choice
  blocks[0].addEventListener("region", ({ detail }) => drawn(detail ? [detail.x, detail.y, detail.width, detail.height].map(Math.round) : []));
  blocks.forEach((block, which) => block.addEventListener("focusin", () => {
    active = views[which];
    presets();
  }));
  // the space bar takes turns too, and alone for users who want no motion
  $("#films").addEventListener("keydown", (event) => {
    const { dataset, className } = event.currentTarget;
    if (event.key !== " " || !className || !event.target.matches(".film")) return;
    event.preventDefault();
    dataset.turn = dataset.turn === "query" ? "hit" : "query";
  });
  toggleLink();
  mode("window");
}
