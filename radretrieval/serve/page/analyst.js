/* The page of analysts: the classes of the archive, its embedding map, and the images of either. */

import { begin, fill, problem, share } from "./desk.js";
import { COLOURS, alone, show, whole, zoom } from "./map.js";
import { $, call, h, number, t } from "./page.js";

const PAGE = 24;
const NEIGHBOURS = 6;
const REST = COLOURS.length - 1; // the colour of all groups that have none of their own
let classes, map, listed;

async function start() {
  classes = await call("api/classes");
  draw();
  for (let answer; answer?.state !== "ready"; ) {
    if (answer) await new Promise((done) => setTimeout(done, 1000));
    answer = await call("api/map");
    map = answer.map;
  }
  classes = await call("api/classes"); // where they are on the map is known now
  draw();
}

function draw() {
  if (classes) draw_classes();
  $("#explained").textContent = map ? t("anExplained", { n: number(map.image_ids.length), of: number(map.of), x: share(map.explained[0], 0), y: share(map.explained[1], 0) }) : t("anComputing");
  if (!map) return;
  const { terms, counts, values } = map.columns[$("#by").value], own = terms.slice(0, REST);
  const group = (value) => (value < 0 ? REST : Math.min(value, REST));
  const rest = map.image_ids.length - counts.slice(0, REST).reduce((sum, n) => sum + n, 0);
  show(map.x.map((x, i) => [x / map.grid, 1 - map.y[i] / map.grid, group(values[i])]), chosen);
  $("#legend").replaceChildren(...[...own, ...(rest ? [t("anOthers")] : [])].map((term, index) => {
    const mark = h("i"), colour = index < own.length ? index : REST;
    mark.style.background = COLOURS[colour];
    return h("li", {}, h("button", { type: "button", "aria-pressed": false, onclick: ({ currentTarget: own }) => {
      const on = own.ariaPressed === "false";
      for (const one of $("#legend").querySelectorAll("button")) one.ariaPressed = on && one === own;
      alone(on ? colour : null);
    } }, mark, term, h("span", { className: "faint" }, number(colour < REST ? counts[index] : rest))));
  }));
}

const CELLS = {
  class: (label, { irma_code, words }) => h("button", { type: "button", id: `class ${irma_code}`, title: words.join("\n"), onclick: () => list(irma_code) }, label || t("anUnlabelled")),
  percent: (value) => value == null ? null : share(value, 0),
};

function draw_classes() {
  const wanted = $("#find").value.toLowerCase();
  const rows = classes.classes.filter((one) => [one.irma_code ?? t("anUnlabelled"), ...one.words].join(" ").toLowerCase().includes(wanted));
  $("#counts").textContent = t("anCounts", { n: number(classes.classes.filter((one) => one.irma_code).length), images: number(classes.images) });
  fill($("#classes"), rows, CELLS);
}

/* List images of a class: its first ones, or those after an image. */
async function list(code, after = 0) {
  try {
    const { images, next } = await call(`api/classes/${code ?? "none"}/images?limit=${PAGE}&after=${after}`);
    const cards = images.map((one) => card(one.id, [one.modality, one.view_position, one.laterality, !one.coded && t("anNoCode"), one.withdrawn && t("anWithdrawn")]));
    $("#images ol").replaceChildren(...(after ? $("#images ol").children : []), ...cards);
    listed = [code, next];
    $("#more").hidden = !next;
    $("#images").hidden = false;
    $("#images h2").textContent = t("anImages", { code: label(code) || t("anUnlabelled") });
    (after ? $("a", cards[0]) : $("#images h2")).focus();
  } catch (error) {
    problem(error);
  }
}

const label = (code) => classes.classes.find((one) => one.irma_code === code)?.label;

const card = (id, told) => h("li", {}, h("a", { href: `./?id=${id}` }, h("img", { loading: "lazy", alt: "", src: `api/images/${id}/thumbnail` }),
  h("span", {}, [t("image", { id }), ...told.filter(Boolean)].join(" · "))));

/* A point was chosen: say which; to open it: its image, what is known of it, and the images nearest to it. */
async function chosen(place, open) {
  const id = map.image_ids[place];
  const facts = Object.entries(map.columns).map(([name, { terms, values }]) => [name, terms[values[place]]]).filter(([, value]) => value);
  $("#said").textContent = [t("image", { id }), ...facts.slice(0, 1).map(([, value]) => value)].join(": ");
  if (!open) return;
  $("#detail").hidden = false;
  $("#detail h2").textContent = t("image", { id });
  $("#detail dl").replaceChildren(...facts.flatMap(([name, value]) => [h("dt", {}, t(name)), h("dd", {}, value)]));
  $("#own").replaceChildren(card(id, [t("anSearch")]));
  $("#near").replaceChildren();
  $("#detail h2").focus();
  const form = new FormData();
  form.append("id", id);
  form.append("top", NEIGHBOURS);
  const { hits } = await call("api/search", form).catch((error) => problem(error) ?? { hits: [] });
  $("#near").replaceChildren(...hits.map((hit) => card(hit.image_id, [label(hit.irma_code), t("anBits", { n: hit.cnnc_distance })])));
}

$("#find").oninput = draw_classes;
$("#by").onchange = draw;
$("#more").onclick = () => list(...listed);
$("#in").onclick = () => zoom(1.5);
$("#out").onclick = () => zoom(1 / 1.5);
$("#whole").onclick = whole;
begin(draw).then(start).catch(problem);
