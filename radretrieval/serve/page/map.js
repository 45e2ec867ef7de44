/* The embedding map on a canvas: points in the colours of their groups, moved and chosen by pointer and by keys. */

import { $, WAYS } from "./page.js";

// told apart on black also by who sees few colours; the legend shows groups alone
export const COLOURS = ["#56b4e9", "#e69f00", "#2fc49a", "#f0e442", "#e58fc0", "#ff7f6b", "#b9a2ff", "#9be15d", "#ffd0a8", "#5fe0e6", "#fff", "#8b96a1"];
const canvas = $("#map");
let points = []; // [x, y, group], the place a share of the map
let only = []; // groups that are shown alone; none: all
let at; // the place of the point that is chosen
let view = [0.5, 0.5, 1]; // the middle of what is seen, a share of the map, and how much larger than the whole it is
let frame, chosen, moved;

/* Show these points; `told` is called with the one that is chosen, and whether its image is to be opened. */
export function show(next, told) {
  [points, chosen, only] = [next, told, []];
  paint();
}

/* Show some groups alone, or all. */
export function alone(groups) {
  only = groups;
  paint();
}

/* Zoom by a factor; what is x, y pixels from the middle stays there. */
export function zoom(factor, x = 0, y = 0) {
  const before = size();
  view[2] = Math.min(200, Math.max(1, view[2] * factor));
  move(x / before - x / size(), y / before - y / size());
}

export const whole = () => move(0.5 - view[0], 0.5 - view[1], (view[2] = 1));

const size = () => 0.94 * Math.min(canvas.clientWidth, canvas.clientHeight) * view[2];
const place = ([x, y]) => [canvas.clientWidth / 2 + (x - view[0]) * size(), canvas.clientHeight / 2 + (y - view[1]) * size()];
const shown = ([, , group]) => !only.length || only.includes(group);

function move(x, y) {
  view = [view[0] + x, view[1] + y].map((one) => Math.min(1, Math.max(0, one))).concat(view[2]);
  paint();
}

function paint() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const context = canvas.getContext("2d"), side = Math.min(8, (points.length > 3000 ? 3 : 5) * view[2] ** 0.4);
    [canvas.width, canvas.height] = [canvas.clientWidth * devicePixelRatio, canvas.clientHeight * devicePixelRatio];
    context.scale(devicePixelRatio, devicePixelRatio);
    for (const point of points) {
      const [x, y] = place(point);
      context.globalAlpha = shown(point) ? 0.85 : 0.1;
      context.fillStyle = COLOURS[point[2]];
      context.fillRect(x - side / 2, y - side / 2, side, side);
    }
    if (!points[at]) return;
    const [x, y] = place(points[at]);
    [context.globalAlpha, context.strokeStyle, context.lineWidth] = [1, "#fff", 2];
    context.strokeRect(x - side, y - side, 2 * side, 2 * side);
  });
}

/* Choose the point that is nearest by `far`, a function of its way from a place. */
function choose([fromX, fromY], far, open) {
  let least = Infinity;
  points.forEach((point, i) => {
    const [x, y] = place(point), one = far(x - fromX, y - fromY);
    if (one < least && shown(point)) [least, at] = [one, i];
  });
  if (least === Infinity) return;
  const [x, y] = place(points[at]);
  if (x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight) move(points[at][0] - view[0], points[at][1] - view[1]);
  paint();
  chosen(at, open);
}

const KEYS = { "+": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: whole, Enter: () => at === undefined || chosen(at, true) };

/* Arrows choose the next point that way, with Shift they move the map. */
canvas.onkeydown = (event) => {
  const { key, shiftKey } = event, [dx, dy] = WAYS[key] ?? [];
  if (!WAYS[key] && !KEYS[key]) return;
  event.preventDefault();
  if (KEYS[key]) KEYS[key]();
  else if (shiftKey) move((60 * dx) / size(), (60 * dy) / size());
  else if (at === undefined) choose(place(view), Math.hypot);
  else choose(place(points[at]), (x, y) => {
    const along = x * dx + y * dy, beside = Math.abs(x * dy + y * dx);
    return along > 0 && beside <= 2 * along ? along + 2 * beside : Infinity;
  });
};
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(1.0015 ** -event.deltaY, event.offsetX - canvas.clientWidth / 2, event.offsetY - canvas.clientHeight / 2);
}, { passive: false });
canvas.onpointerdown = ({ pointerId }) => canvas.setPointerCapture(pointerId, (moved = 0));
canvas.onpointermove = ({ buttons, movementX: x, movementY: y }) => {
  if (buttons && (moved += Math.hypot(x, y)) > 4) move(-x / size(), -y / size());
};
canvas.onclick = ({ offsetX, offsetY }) => moved > 4 || choose([offsetX, offsetY], (x, y) => (Math.hypot(x, y) < 14 ? Math.hypot(x, y) : Infinity), true);
new ResizeObserver(paint).observe(canvas);
