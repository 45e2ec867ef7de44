/* The hits as a strip of thumbnails, and what is to say of the one that is shown beside the query: the server writes it. */

import { $, $$, number, t } from "./page.js";

const PANEL = ["#what", "#facts"]; // its parts
let cards = [];
let panels; // of each part, that of each hit

/* Show the notes and the hits of an answer; its document. */
export function take(made) {
  for (const part of ["#notes", "#cards"]) $(part).replaceWith($(part, made));
  panels = PANEL.map((part) => [...$(part, made).children]);
  cards = $$(".hit").sort((one, other) => one.dataset.value - other.dataset.value); // near-duplicates lie below a better one
  return JSON.parse($("#document", made).textContent);
}

export function mark(chosen) {
  cards.forEach((card, index) => {
    card.tabIndex = index === chosen ? 0 : -1;
    card.ariaCurrent = index === chosen || null;
  });
  PANEL.forEach((part, place) => $(part).replaceChildren(panels[place][chosen]));
  const fold = cards[chosen].closest(".fold");
  if (fold) fold.open = true;
}

/* The place of the hit so many on from this one, of those that are not folded, in view. */
export function neighbour(from, by) {
  const open = [...cards.keys()].filter((index) => cards[index].checkVisibility());
  const to = open[Math.min(Math.max(open.indexOf(from) + by, 0), open.length - 1)];
  cards[to].scrollIntoView({ block: "nearest" });
  return to;
}

export const focus = (index) => cards[index].focus();

/* Mark what the reader said of hits, and where POST /api/region found the region in them. */
export function update(hits, said, regions) {
  const share = (value, whole) => `${(100 * value) / whole}%`;
  hits.forEach(({ image_id: id }, index) => {
    const [box, found, verdict] = [".box", ".found", ".verdict"].map((part) => $(part, cards[index]));
    const { roi, rows, columns, error } = regions?.get(id) ?? {}, score = roi && number(roi.score, 2), line = $(".region", panels[1][index]);
    verdict.textContent = { true: "✓", false: "✗" }[said.get(id)] ?? "";
    found.textContent = !regions ? "" : !roi ? t("notRead") : roi.found ? t("found", { score }) : t("notFound");
    line.hidden = !regions;
    $("dd", line).textContent = error ?? (roi ? t(roi.found ? "regionYes" : "regionNo", { score }) : "");
    box.hidden = !roi?.found;
    if (box.hidden) return;
    const right = columns - roi.x - roi.width, below = rows - roi.y - roi.height;
    box.style.inset = `${share(roi.y, rows)} ${share(right, columns)} ${share(below, rows)} ${share(roi.x, columns)}`;
  });
}
