/* The hits as a strip of thumbnails, and the panel of the one that is shown beside the query. */

import { $, day, h, number, percent, side, step, t } from "./page.js";

const list = $("#hits ol");
let cards = [];

/* Two hits are nearly the same film when their codes and each projection of their barcodes are equally far from the
   query, but for the few bits that writing a film anew changes. */
function alike(one, other) {
  const [a, b] = [one, other].map((hit) => hit.explanation?.angle_distances);
  const bits = (sum, far, angle) => sum + Math.abs(far - b[angle]);
  return a && b && Math.abs(one.cnnc_distance - other.cnnc_distance) <= 12 && a.reduce(bits, 0) <= 24;
}

/* List the hits; `words` has their codes in words. Those nearly the same as a better one are folded below it. */
export function fill(hits, words, choose) {
  cards = hits.map((one, index) => card(one, words[one.irma_code], () => choose(index)));
  hits.forEach((one, index) => {
    const first = cards[hits.findIndex((other) => alike(other, one))];
    if (!first || first === cards[index]) return;
    cards[index].item.hidden = true;
    first.copies.push(cards[index].item);
  });
  for (const { item, copies } of cards) if (copies.length) item.append(fold(copies));
  list.replaceChildren(...cards.map(({ item }) => item));
}

function fold(copies) {
  const onclick = ({ target }) => {
    for (const copy of copies) copy.hidden = !copy.hidden;
    target.ariaExpanded = !copies[0].hidden;
  };
  return h("button", { type: "button", className: "fold", "aria-expanded": false, onclick }, t("copies", { n: copies.length }));
}

function card(one, words, onclick) {
  const line = (className, ...content) => h("span", { className }, content.filter(Boolean).join(" · ") || " ");
  const box = h("span", { className: "box", hidden: true });
  const [found, verdict] = [line("found"), line("verdict")];
  const image = h("img", { loading: "lazy", alt: "", src: `api/images/${one.image_id}/thumbnail`, draggable: false });
  image.onerror = () => (image.hidden = true);
  const choice = h("button", { type: "button", className: "hit", tabIndex: -1, onclick },
    h("span", { className: "thumb" }, h("span", { className: "sheet" }, image, box), line("rank", `${one.rank}`), verdict),
    likelihood(one),
    line("what", words?.short.join(" · ") ?? one.irma_code ?? t("uncoded")),
    line("faint", one.modality, one.body_part, one.view_position, one.laterality && side(one.laterality)),
    line("faint", one.study_date ? day(one.study_date) : t("image", { id: one.image_id })),
    line("faint", t("distances", { cnnc: one.cnnc_distance, rbc: one.rbc_distance })),
    found);
  return { item: h("li", {}, choice), choice, box, found, verdict, copies: [] };
}

/* How likely a hit has the query's code; or whether it has, where nothing says how likely. */
function likelihood(one) {
  const share = one.probability, axes = Object.values(one.explanation?.as_query ?? {});
  if (share != null) return h("span", { className: `likely p${step(share)}` }, `${t(`likely${step(share)}`)} (${percent(share)})`);
  if (!axes.length || axes.includes(null)) return h("span", { className: "likely" }, t("sameNone"));
  return h("span", { className: `likely p${axes.every(Boolean) ? 95 : 0}` }, t(axes.every(Boolean) ? "sameKnown" : "otherKnown"));
}

/* Mark the hit that is shown. */
export function mark(chosen) {
  cards.forEach(({ choice, copies }, index) => {
    choice.tabIndex = index === chosen ? 0 : -1;
    choice.ariaCurrent = index === chosen ? "true" : null;
    if (copies.includes(cards[chosen].item)) for (const copy of copies) copy.hidden = false;
  });
  cards[chosen].item.scrollIntoView({ block: "nearest" });
}

/* The place of the hit so many on from this one, of those that are not folded. */
export function neighbour(from, by) {
  const open = [...cards.keys()].filter((index) => !cards[index].item.hidden);
  return open[Math.min(Math.max(open.indexOf(from) + by, 0), open.length - 1)];
}

export const focus = (index) => cards[index].choice.focus();

/* Mark what the reader said of hits: image id → relevant or not. */
export function judged(hits, said) {
  hits.forEach(({ image_id: id }, index) => (cards[index].verdict.textContent = said.has(id) ? (said.get(id) ? "✓" : "✗") : ""));
}

/* Draw the region in each hit: image id → answer of POST /api/region; null for none. */
export function regions(hits, answers) {
  hits.forEach(({ image_id: id }, index) => {
    const { box, found } = cards[index], { roi, rows, columns } = answers?.get(id) ?? {};
    found.textContent = !answers ? "" : !roi ? t("notRead") : roi.found ? t("found", { score: number(roi.score, 2) }) : t("notFound");
    box.hidden = !roi?.found || !columns;
    for (const [edge, value, whole] of box.hidden ? [] : [["left", roi.x, columns], ["width", roi.width, columns], ["top", roi.y, rows], ["height", roi.height, rows]]) {
      box.style[edge] = `${(100 * value) / whole}%`;
    }
  });
}

/* Fill the panel: what the hit is, and why it stands there. */
export function panel(one, words, region) {
  const { irma_code: code, explanation, patient_key: patient, study_date: date } = one;
  const facts = {
    code: code ?? t("uncoded"), modality: one.modality, body_part: one.body_part, view_position: one.view_position,
    laterality: one.laterality && side(one.laterality), study_date: date && day(date),
    patient: patient && h("abbr", { title: patient }, patient.slice(0, 10)),
    cnnc: t("bits", { n: one.cnnc_distance, all: number(1000) }), rbc: t("bits", { n: one.rbc_distance, all: number(4352) }),
    regionOf: region && (region.roi ? t(region.roi.found ? "regionYes" : "regionNo", { score: number(region.roi.score, 2) }) : region.error),
  };
  const shown = Object.entries(facts).filter(([, value]) => value);
  $("#what").replaceChildren(h("h2", {}, t("rank", { rank: one.rank }), h("small", {}, t("image", { id: one.image_id }))), h("p", {}, t("same"), likelihood(one)));
  $("#facts").replaceChildren(axes(one, words), h("dl", {}, shown.flatMap(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, value)])));
  $("#place-by-code").textContent = t("byCode", { n: explanation.cnnc_rank });
  const bits = explanation.angle_distances;
  $(".bars").ariaLabel = bits.join(", ");
  $(".bars").replaceChildren(...bits.map((far) => {
    const bar = h("i", { title: far });
    bar.style.height = `${Math.max(far / Math.max(...bits, 60), 0.03) * 100}%`;
    return bar;
  }));
}

/* Axis by axis: the words, whether the query (or most hits, where it has no code) has the same, and how likely that is. */
function axes(one, words) {
  const { as_query: query, as_most: most } = one.explanation;
  const [same, agrees, differs] = query.T == null ? [most, "agreesMost", "differsMost"] : [query, "agrees", "differs"];
  return h("ul", { className: "axes" }, words && ["T", "D", "A", "B"].map((axis, place) => {
    const share = one.axis_probabilities?.[axis];
    const told = [same[axis] != null && t(same[axis] ? agrees : differs), share != null && percent(share)].filter(Boolean).join(" · ");
    return h("li", { className: same[axis] ? "same" : "other" }, h("span", { className: "faint" }, t(`axis${axis}`)), h("span", {}, words.axes[place]), h("span", { className: "agree" }, told));
  }));
}

/* Arrow keys go from hit to hit while one of them has the focus. */
list.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e3, End: 1e3 }[event.key];
  const from = cards.findIndex(({ choice }) => choice === event.target);
  if (!by || from < 0) return;
  event.preventDefault();
  const next = neighbour(from, by);
  cards[next].choice.click();
  focus(next);
});
