/* The hits as a strip of thumbnails, and the panel of the one that is shown beside the query. */

import { $, day, h, number, percent, side, step, t } from "./page.js";

let cards = [];

/* List the hits; `words` has their codes in words. Near-duplicates of a better one are folded below it. */
export function fill(hits, words, choose) {
  cards = hits.map((one, index) => card(one, words[one.irma_code], () => choose(index)));
  hits.forEach(({ duplicate_of: of }, index) => {
    const first = of && cards[hits.findIndex((other) => other.image_id === of)];
    cards[index].item.hidden = Boolean(first);
    if (first) first.copies.push(cards[index].item);
  });
  for (const { item, copies } of cards) if (copies.length) item.append(fold(copies));
  $("#hits ol").replaceChildren(...cards.map(({ item }) => item));
}

function fold(copies) {
  const onclick = ({ target }) => {
    for (const copy of copies) copy.hidden = !copy.hidden;
    target.ariaExpanded = !copies[0].hidden;
  };
  return h("button", { className: "fold", ariaExpanded: false, onclick }, t("copies", { n: copies.length }));
}

function card(one, words, onclick) {
  const { image_id: id, rank, laterality, study_date: date } = one;
  const line = (className, ...content) => h("span", { className }, content.filter(Boolean).join(" · ") || "\u00a0");
  const box = h("span", { className: "box", hidden: true });
  const [found, verdict] = [h("span", { className: "found" }), h("span", { className: "verdict" })];
  const image = h("img", { loading: "lazy", alt: "", srcset: `api/images/${id}/thumbnail .1x`, draggable: false });
  image.onerror = () => (image.hidden = true);
  const choice = h("button", { className: "hit", tabIndex: -1, onclick },
    h("span", { className: "thumb" }, h("span", { className: "sheet" }, image, box), line("rank", `${rank}`), verdict),
    likelihood(one),
    line("what", words?.short.join(" · ") ?? one.irma_code ?? t("uncoded")),
    line("faint", one.modality, one.body_part, one.view_position, side(laterality)),
    line("faint", date ? day(date) : t("image", { id })),
    line("faint", t("distances", { cnnc: one.cnnc_distance, rbc: one.rbc_distance })),
    found);
  return { item: h("li", {}, choice), choice, box, found, verdict, copies: [] };
}

/* How likely a hit has the query's code; or whether it has, where nothing says how likely. */
function likelihood({ probability: share, explanation }) {
  const axes = Object.values(explanation.as_query), same = axes.every(Boolean);
  const [kind, text] = share != null ? [step(share), `${t(`likely${step(share)}`)} (${percent(share)})`]
    : axes.includes(null) ? ["", t("sameNone")] : [same ? 95 : 0, t(same ? "sameKnown" : "otherKnown")];
  return h("span", { className: `likely p${kind}` }, text);
}

export function mark(chosen) {
  cards.forEach(({ choice, copies }, index) => {
    choice.tabIndex = index === chosen ? 0 : -1;
    choice.ariaCurrent = index === chosen || null;
    if (copies.includes(cards[chosen].item)) for (const copy of copies) copy.hidden = false;
  });
}

/* The place of the hit so many on from this one, of those that are not folded, in view. */
export function neighbour(from, by) {
  const open = [...cards.keys()].filter((index) => !cards[index].item.hidden);
  const to = open[Math.min(Math.max(open.indexOf(from) + by, 0), open.length - 1)];
  cards[to].item.scrollIntoView({ block: "nearest" });
  return to;
}

export const focus = (index) => cards[index].choice.focus();

/* Mark what the reader said of hits, and where POST /api/region found the region in them. */
export function update(hits, said, regions) {
  const share = (value, whole) => `${(100 * value) / whole}%`;
  hits.forEach(({ image_id: id }, index) => {
    const { box, found, verdict } = cards[index], { roi, rows, columns } = regions?.get(id) ?? {};
    verdict.textContent = { true: "✓", false: "✗" }[said.get(id)] ?? "";
    found.textContent = !regions ? "" : !roi ? t("notRead") : roi.found ? t("found", { score: number(roi.score, 2) }) : t("notFound");
    box.hidden = !roi?.found;
    if (box.hidden) return;
    const right = columns - roi.x - roi.width, below = rows - roi.y - roi.height;
    box.style.inset = `${share(roi.y, rows)} ${share(right, columns)} ${share(below, rows)} ${share(roi.x, columns)}`;
  });
}

export function panel(one, words, region) {
  const { rank, image_id: id, explanation, patient_key: patient, study_date: date } = one;
  const bits = (n, all) => t("bits", { n, all: number(all) });
  const facts = {
    regionOf: region && (region.error ?? t(region.roi.found ? "regionYes" : "regionNo", { score: number(region.roi.score, 2) })),
    code: one.irma_code ?? t("uncoded"), modality: one.modality, body_part: one.body_part, view_position: one.view_position,
    laterality: side(one.laterality), study_date: date && day(date), patient: patient && h("abbr", { title: patient }, patient.slice(0, 10)),
    cnnc: bits(one.cnnc_distance, 1000), rbc: bits(one.rbc_distance, 4352),
  };
  const shown = Object.entries(facts).filter(([, value]) => value);
  $("#what").replaceChildren(h("h2", {}, t("rank", { rank }), h("small", {}, t("image", { id }))), h("p", {}, t("same"), likelihood(one)));
  $("#facts").replaceChildren(axes(one, words), h("dl", {}, shown.flatMap(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, value)])));
  $("#by-code").textContent = t("byCode", { n: explanation.cnnc_rank });
  const far = explanation.angle_distances;
  $(".bars").ariaLabel = far.join(", ");
  $(".bars").textContent = far.map((value) => "▁▂▃▄▅▆▇█"[Math.floor((7.9 * value) / Math.max(...far, 60))]).join("");
}

/* Axis by axis: the words, whether the query (or most hits, where it has no code) has the same, and how likely that is. */
function axes({ explanation: { as_query: query, as_most: most }, axis_probabilities: likely }, words) {
  const [same, agrees, differs] = query.T == null ? [most, "agreesMost", "differsMost"] : [query, "agrees", "differs"];
  return h("ul", { className: "axes" }, words && [..."TDAB"].map((axis, place) => {
    const told = [same[axis] != null && t(same[axis] ? agrees : differs), likely && percent(likely[axis])].filter(Boolean).join(" · ");
    const texts = [["faint", t(`axis${axis}`)], ["", words.axes[place]], ["agree", told]];
    return h("li", { className: same[axis] ? "same" : "other" }, texts.map(([className, text]) => h("span", { className }, text)));
  }));
}
