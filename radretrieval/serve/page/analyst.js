/* The embedding map of the page of analysts, its legend and what a choice of a point does. */

import { go } from "./desk.js";
import { COLOURS, alone, show, whole, zoom } from "./map.js";
import { $, $$, call, h, number } from "./page.js";

const REST = COLOURS.length - 1; // the colour of all groups that have none of their own
let map, known;

/* Draw the map, once the server has computed it, and another one where it has a newer one. */
async function drawn() {
  const { map: made } = $("#mapped").dataset;
  if (!made || made === known) return;
  known = made;
  ({ map } = await call("api/map"));
  draw();
}

function draw() {
  const { terms, counts, values } = map.columns[$("#by").value], groups = values.map((value) => (value < 0 ? REST : Math.min(value, REST)));
  const rest = groups.filter((group) => group === REST).length;
  const legend = terms.slice(0, REST).map((term, index) => [term, counts[index], index]);
  if (rest) legend.push([$("#legend").dataset.others, rest, REST]);
  $("#legend").replaceChildren(...legend.map(([term, count, value]) => {
    const mark = h("i");
    mark.style.background = COLOURS[value];
    return h("li", {}, h("label", { className: "button" }, h("input", { type: "checkbox", value }), mark, term, h("span", { className: "faint" }, number(count))));
  }));
  show(map.x.map((x, i) => [x / map.grid, 1 - map.y[i] / map.grid, groups[i]]), chosen);
}

/* A point was chosen: say which; to open it: its image. */
function chosen(place, open) {
  const id = map.image_ids[place], { terms, values } = map.columns.irma_code;
  $("#said").textContent = `${$("#said").dataset.image} ${id}: ${terms[values[place]] ?? ""}`;
  if (open) go(`?id=${id}#detail`);
}

$("#legend").onchange = () => alone($$("#legend :checked").map(({ value }) => +value));
$("#by").onchange = draw;
$("#in").onclick = () => zoom(1.5);
$("#out").onclick = () => zoom(1 / 1.5);
$("#whole").onclick = whole;
addEventListener("shown", drawn);
drawn();
