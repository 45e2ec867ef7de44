/* The page of analysts: the classes of the archive, its embedding map, and the images of either. */

import { begin, fill, problem, share } from "./desk.js";
import { COLOURS, alone, show, whole, zoom } from "./map.js";
import { $, $$, call, h, number, t } from "./page.js";

const PAGE = 24;
const NEIGHBOURS = 6;
const REST = COLOURS.length - 1; // the colour of all groups that have none of their own
let classes, map, listed;

async function start() {
  classes = await call("api/classes");
  draw();
  for (;;) {
    const answer = await call("api/map");
    map = answer.map;
    if (map) break;
    await new Promise((done) => setTimeout(done, 1000));
  }
  classes = await call("api/classes"); // where they are on the map is known now
  draw();
}

function draw() {
  if (classes) draw_classes();
  $("#explained").textContent = t("anComputing");
  if (!map) return;
  const [x, y] = map.explained.map((one) => share(one, 0)), { terms, counts, values } = map.columns[$("#by").value];
  $("#explained").textContent = t("anExplained", { n: number(map.image_ids.length), of: number(map.of), x, y });
  show(map.x.map((x, i) => [x / map.grid, 1 - map.y[i] / map.grid, values[i] < 0 ? REST : Math.min(values[i], REST)]), chosen);
  const rest = values.filter((value) => value < 0 || value >= REST).length;
  const group = (index, term, count) => {
    const mark = h("i");
    mark.style.background = COLOURS[index];
    return h("li", {}, h("button", { ariaPressed: false, onclick: ({ currentTarget: own }) => {
      const on = own.ariaPressed === "false";
      for (const one of $$("#legend button")) one.ariaPressed = on && one === own;
      alone(on ? index : null);
    } }, mark, term, h("span", { className: "faint" }, number(count))));
  };
  $("#legend").replaceChildren(...terms.slice(0, REST).map((term, index) => group(index, term, counts[index])), rest ? group(REST, t("anOthers"), rest) : "");
}

const CELLS = {
  class: (label, { irma_code, words }) => h("button", { id: `class ${irma_code}`, title: words.join("\n"), onclick: () => list(irma_code) }, label || t("anUnlabelled")),
  percent: (value) => (value == null ? "–" : share(value, 0)),
};

function draw_classes() {
  const wanted = $("#find").value.toLowerCase();
  const rows = classes.classes.filter(({ irma_code, label, words }) => [irma_code, label, ...words].join(" ").toLowerCase().includes(wanted));
  $("#counts").textContent = t("anCounts", { n: number(rows.length), images: number(rows.reduce((sum, one) => sum + one.images, 0)) });
  fill($("#classes"), rows, CELLS);
}

/* List images of a class: its first ones, or those after an image. */
async function list(code, after = 0) {
  const page = await call(`api/classes/${code ?? "none"}/images?limit=${PAGE}&after=${after}`).catch(problem);
  if (!page) return;
  const cards = page.images.map((one) => card(one.id, one.modality, one.view_position, one.laterality, !one.coded && t("anNoCode"), one.withdrawn && t("anWithdrawn")));
  if (!after) $("#images ol").replaceChildren();
  $("#images ol").append(...cards);
  listed = [code, page.next];
  $("#more").hidden = !page.next;
  $("#images").hidden = false;
  $("#images h2").textContent = t("anImages", { code: label(code) || t("anUnlabelled") });
  (after ? cards[0].firstChild : $("#images h2")).focus();
}

const label = (code) => classes.classes.find((one) => one.irma_code === code)?.label;
const card = (id, ...told) => h("li", {}, h("a", { href: `./?id=${id}` }, h("img", { loading: "lazy", alt: "", src: `api/images/${id}/thumbnail` }),
  h("span", {}, [t("image", { id }), ...told].filter(Boolean).join(" · "))));

/* A point was chosen: say which; to open it: its image, what is known of it, and the images nearest to it. */
async function chosen(place, open) {
  const id = map.image_ids[place], title = t("image", { id });
  const facts = Object.entries(map.columns).map(([name, { terms, values }]) => [t(name), terms[values[place]]]).filter(([, value]) => value);
  $("#said").textContent = `${title}: ${facts[0]?.[1] ?? ""}`;
  if (!open) return;
  $("#detail").hidden = false;
  $("#detail h2").textContent = title;
  $("#detail dl").replaceChildren(...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  $("#own").replaceChildren(card(id, t("anSearch")));
  $("#near").replaceChildren();
  $("#detail h2").focus();
  const form = new FormData();
  form.append("id", id);
  form.append("top", NEIGHBOURS);
  const answer = await call("api/search", form).catch(problem);
  if (answer) $("#near").replaceChildren(...answer.hits.map((hit) => card(hit.image_id, label(hit.irma_code), t("anBits", { n: hit.cnnc_distance }))));
}

$("#find").oninput = draw_classes;
$("#by").onchange = draw;
$("#more").onclick = () => list(...listed);
$("#in").onclick = () => zoom(1.5);
$("#out").onclick = () => zoom(1 / 1.5);
$("#whole").onclick = whole;
begin(draw).then(start).catch(problem);
