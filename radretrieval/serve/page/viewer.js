/* A film in a block of the page: shown, windowed, zoomed, turned; a region drawn on it, boxes, films in step. */
import { asWindow, chosen, dragStep, greyPixels, initial, modalityValues, presets } from "./grey.js";
import { levelFor, levelPixels, resampled } from "./film.js";
import { WAYS, t } from "./page.js";

const START = { zoom: 1, x: 0.5, y: 0.5, rotation: 0, inverted: false };
const REST = 120; // ms without movement until the film is interpolated
const SIDE = 8; // film pixels of a region's side, at least
const between = (value, low, high) => Math.min(Math.max(value, low), high);
const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);
/* Shares of the film's sides → of what is shown, turned clockwise so many times; the same of a direction. */
const turned = (times, [u, v]) => (times ? turned(times - 1, [1 - v, u]) : [u, v]);
const turnedBy = (times, [du, dv]) => (times ? turnedBy(times - 1, [-dv, du]) : [du, dv]);

export function FilmView(element) {
  let film = null, state = START, region = null, boxes = [], message = "";
  let values, greys, level, pixels, shown, loading, drag, frame, moving;
  const pointers = new Map(), timers = {}, stale = new Set();
  // without data, so as markup
  element.innerHTML = `<div class="film-stage"><canvas aria-hidden="true"></canvas><div aria-hidden="true"></div>
    <div class="film-line" aria-hidden="true"></div><div class="film-status" role="status"></div></div>`;
  const stage = element.firstChild, [canvas, marks, line, status] = stage.children;
  element.classList.add("film-view");
  element.role = "application";
  element.tabIndex = 0;
  const sized = new ResizeObserver(() => repaint("view"));
  for (const one of [stage, document.body]) sized.observe(one); // the page's height changes where a film is moved
  addEventListener("resize", () => repaint("view")); // a change of the device pixel ratio alone
  matchMedia("print").addEventListener("change", () => paint(repaint("view"))); // paper comes before the next frame
  const acts = { pointerdown: down, pointermove: move, pointerup: up, pointercancel: up, wheel, keydown: key, contextmenu: stop };
  for (const [name, act] of Object.entries(acts)) {
    (act === key ? element : stage).addEventListener(name, (event) => film && act(event), { passive: false });
  }

  const view = {
    element, set, followers: [],
    get mode() { return element.dataset.mode; },
    set mode(mode) { element.dataset.mode = mode; },
    /* Shows a film, of its JSON; false where another was shown, or none, before it had come. */
    async show(next, { label = "", state } = {}) {
      view.clear();
      film = next;
      element.ariaLabel = label;
      values = modalityValues(film);
      settle();
      view.restore(state);
      await load();
      return film === next;
    },
    clear() {
      loading?.abort();
      film = level = pixels = shown = region = drag = loading = null;
      boxes = [];
      tellLine("");
      repaint("view");
    },
    get film() { return film; },
    get presets() { return film ? presets(film) : []; },
    get state() { return { ...state }; },
    restore(from = {}) {
      const given = Object.entries(from).filter(([name, value]) => name === "window" || (name in START && isFinite(value)));
      set({ ...START, window: film && initial(film), ...Object.fromEntries(given) });
    },
    get region() { return region; },
    set region(box) {
      region = box;
      repaint("text");
    },
    get boxes() { return boxes; },
    set boxes(all) {
      boxes = all;
      repaint();
    },
    get window() { return state.window; },
    set window(window) { change({ window }); },
    invert: () => change({ inverted: !state.inverted }),
    rotate(times = 1) {
      const [x, y] = turned(times, [state.x, state.y]);
      change({ rotation: (state.rotation + times) % 4, x, y });
    },
    fit: () => change({ zoom: 1, x: 0.5, y: 0.5 }),
    one: () => zoomBy(1 / shape().scale),
    reset: () => change({ ...START, window: initial(film) }),
  };
  view.mode = "pan";
  return view;

  /* The user's change. Linked views follow in zoom and place, shares of the film, and in the window, as it differs from
     the film's first one; turning and inverting are for each film alone. */
  function change(to) {
    if (!film) return;
    set(to, true);
    const { zoom, x, y, window } = state;
    for (const other of view.followers.filter((one) => one.film)) {
      if ("zoom" in to || ("x" in to && !("rotation" in to))) other.set({ zoom, x, y }, true);
      if ("window" in to) other.set({ window: windowFor(other.film, window) });
    }
  }
  function windowFor(other, choice) {
    if (choice === "range") return choice;
    if (equal(choice, initial(film))) return initial(other);
    const now = asWindow(film, choice), from = asWindow(film, initial(film)), to = asWindow(other, initial(other));
    const ratio = to.width / from.width, centre = to.centre + (now.centre - from.centre) * ratio;
    return { centre, width: Math.max(now.width * ratio, 1), function: to.function };
  }
  function set(to, moves) {
    state = { ...state, ...to };
    state.zoom = zoomed(state.zoom);
    for (const axis of "xy") state[axis] = between(state[axis], 0, 1);
    moving = moves && "x" in to;
    if (moving) later("rest", REST, () => repaint("view", (moving = false)));
    repaint("x" in to ? "view" : "text", "window" in to || "inverted" in to ? "greys" : "text");
  }

  /* What is shown in device pixels of the canvas: the film's scale at fit and now, its place and size. */
  function shape() {
    if (!film) return { fit: 1, scale: 1 };
    const { width: across, height: down } = canvas, { columns, rows, spacing } = film;
    const size = [columns, spacing ? (rows * spacing[0]) / spacing[1] : rows];
    if (state.rotation % 2) size.reverse();
    const fit = Math.min(across / size[0], down / size[1]), scale = fit * state.zoom;
    const [width, height] = size.map((side) => side * scale);
    // whole pixels, so that at 1:1 each pixel of the film is one of the screen
    const left = Math.round(across / 2 - state.x * width), top = Math.round(down / 2 - state.y * height);
    return { fit, scale, width, height, left, top };
  }
  function toFilm([x, y]) {
    const { left, top, width, height } = shape();
    const [u, v] = turned(4 - state.rotation, [(x - left) / width, (y - top) / height]);
    return [u * film.columns, v * film.rows];
  }
  function toScreen(x, y) {
    const { left, top, width, height } = shape(), [u, v] = turned(state.rotation, [x / film.columns, y / film.rows]);
    return [left + u * width, top + v * height];
  }
  function stop(event) {
    event.preventDefault();
  }
  function wheel(event) {
    stop(event);
    zoomBy(1.0015 ** (-event.deltaY * (event.deltaMode ? 30 : 1)), at(event));
  }
  function at({ clientX, clientY }) {
    const box = canvas.getBoundingClientRect();
    return [(clientX - box.left) * devicePixelRatio, (clientY - box.top) * devicePixelRatio];
  }

  /* From a fifth of what fits to 32 screen pixels for one of the film; fit and 1:1 are always within. */
  function zoomed(zoom) {
    const { fit } = shape();
    return between(zoom, Math.min(0.2, 1 / fit), Math.max(32 / fit, 1));
  }
  function zoomBy(ratio, point) {
    const { width, height } = shape(), zoom = zoomed(state.zoom * ratio), middle = [canvas.width / 2, canvas.height / 2];
    const [dx, dy] = (point ?? middle).map((value, i) => (value - middle[i]) * (1 - state.zoom / zoom));
    change({ zoom, x: state.x + dx / width, y: state.y + dy / height });
  }
  function panBy(dx, dy) {
    const { width, height } = shape();
    change({ x: state.x - dx / width, y: state.y - dy / height });
  }
  function windowBy(dx, dy, fine) {
    const step = dragStep(film) / (fine ? 8 : 1), { centre, width, function: kind } = asWindow(film, state.window);
    const least = kind === "LINEAR" ? 1 : step / 8;
    view.window = { centre: centre + dy * step, width: Math.max(width + dx * step, least), function: kind };
  }

  function down(event) {
    const point = at(event);
    element.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, point);
    const mode = ["", "pan", "window"][event.button] || view.mode;
    drag = pointers.size > 1 ? null : { mode, from: point, ...grip(toFilm(point)) };
  }
  function move(event) {
    const before = pointers.get(event.pointerId), now = at(event), ratio = devicePixelRatio;
    if (!before) return;
    pointers.set(event.pointerId, now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]], { mode, from, edges, held } = drag ?? {};
    if (pointers.size === 2) {
      const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
      const gap = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
      panBy(dx / 2, dy / 2);
      zoomBy(gap(now) / gap(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else if (mode === "pan") panBy(dx, dy);
    else if (mode === "zoom") zoomBy(1.01 ** (-dy / ratio), from);
    else if (mode === "window") windowBy(dx / ratio, dy / ratio, event.shiftKey);
    else if (mode && (drag.begun ||= Math.hypot(now[0] - from[0], now[1] - from[1]) > 3 * ratio)) {
      const [x, y] = toFilm(from), [toX, toY] = toFilm(now);
      reshape(edges, held, [toX - x, toY - y]);
    }
  }
  function up({ pointerId }) {
    pointers.delete(pointerId);
    if (drag?.begun) tell("region", region);
    drag = null;
  }

  /* Edges of the region and which of them a drag from this film pixel takes along: those near it, all from within; from
     elsewhere, of a new region. */
  function grip(point) {
    const near = (8 * devicePixelRatio) / shape().scale, { x, y, width, height } = region ?? {};
    const edges = [x, y, x + width, y + height], held = edges.map((edge, i) => Math.abs(point[i % 2] - edge) < near);
    const inside = [0, 1].every((i) => point[i] > edges[i] - near && point[i] < edges[i + 2] + near);
    if (!inside) return { edges: [...point, ...point], held: [0, 0, 1, 1] };
    return { edges, held: held.some(Boolean) ? held : [1, 1, 1, 1] };
  }
  function reshape(edges, held, by) {
    const [[x, width], [y, height]] = [film.columns, film.rows].map((limit, i) => {
      const both = held[i] && held[i + 2], step = both ? between(by[i], -edges[i], limit - edges[i + 2]) : by[i];
      const ends = [i, i + 2].map((j) => Math.round(edges[j] + held[j] * step)).sort((a, b) => a - b);
      const low = between(ends[0], 0, Math.max(limit - SIDE, 0));
      return [low, between(ends[1], Math.min(low + SIDE, limit), limit) - low];
    });
    view.region = { x, y, width, height };
  }

  function key(event) {
    const { ctrlKey, shiftKey } = event, arrow = WAYS[event.key];
    const act = arrow ? () => arrowKey(arrow, ctrlKey, shiftKey) : !ctrlKey && {
      "+": () => zoomBy(1.25), "-": () => zoomBy(0.8), 1: view.one, Home: view.reset,
      PageUp: () => cycle(-1), PageDown: () => cycle(1), Escape: () => region && tell("region", (view.region = null)),
    }[event.key];
    if (!act || event.altKey || event.metaKey) return;
    stop(event);
    act();
  }
  function arrowKey([dx, dy], fine, size) {
    const step = 16 * devicePixelRatio, back = 4 - state.rotation, { columns, rows } = film;
    if (view.mode === "window") return windowBy(dx * 16, dy * 16, fine);
    if (view.mode !== "region") return panBy(-dx * step, -dy * step);
    const { x, y, width, height } = region ?? { x: columns / 4, y: rows / 4, width: columns / 2, height: rows / 2 };
    // the edge that is to the right, or below, as the film is turned
    const [right, below] = turnedBy(back, [Math.abs(dx), Math.abs(dy)]);
    const held = size ? [right < 0, below < 0, right > 0, below > 0] : [1, 1, 1, 1];
    const length = fine ? 1 : Math.ceil(step / shape().scale);
    reshape([x, y, x + width, y + height], held, turnedBy(back, [dx * length, dy * length]));
    later("region", 250, () => tell("region", region));
  }
  function cycle(step) {
    const all = [...(film.lut ? ["lut"] : []), ...view.presets.map((_, preset) => ({ preset })), "range"];
    view.window = all[(all.findIndex((one) => equal(one, state.window)) + step + all.length) % all.length];
  }

  function later(name, ms, act) {
    clearTimeout(timers[name]);
    timers[name] = setTimeout(act, ms);
  }
  function tell(name, detail) {
    element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }
  function tellLine(text) {
    message = text;
    repaint("text");
  }

  /* Fetches the level for the scale, and another where the scale has changed meanwhile. */
  async function load() {
    const own = (loading = new AbortController());
    const progress = (share) => pixels || tellLine(t("film_loading", { percent: Math.round(share * 100) }));
    try {
      for (let next; (next = levelFor(film, shape().scale)) !== level; ) {
        const found = await levelPixels(next, own.signal, progress);
        if (loading !== own) return;
        [level, pixels, message] = [next, found, ""];
        repaint("view");
        paint();
      }
      loading = null;
    } catch (error) {
      if (loading !== own) return;
      tellLine(t("film_failed", { reason: error.message }));
      throw error;
    }
  }

  function repaint(...what) {
    for (const one of what) stale.add(one);
    frame ??= requestAnimationFrame(paint);
  }
  function paint() {
    cancelAnimationFrame(frame);
    frame = null;
    settle();
    const now = shape(), context = canvas.getContext("2d", { alpha: false });
    if (stale.has("view")) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      shown = pixels && resampled(film, level, pixels, now, state.rotation, canvas, !moving && now.scale !== 1, shown);
    }
    if (stale.has("greys")) greys = film && greyPixels(film, values, chosen(film, state.window), state.inverted);
    if (shown && (stale.has("view") || stale.has("greys"))) {
      const { left, top, image } = shown, from = shown.values, to = new Uint32Array(image.data.buffer), table = greys;
      for (let i = 0; i < to.length; i++) to[i] = table[from[i]];
      context.putImageData(image, left, top);
    }
    if (film) draw();
    if (stale.size) describe(now.scale);
    stale.clear();
    if (film && !loading && levelFor(film, now.scale) !== level) load().catch(() => {});
  }
  /* The canvas covers the whole device pixels of the block: else the browser would resample it. */
  function settle() {
    const box = stage.getBoundingClientRect(), ratio = devicePixelRatio;
    for (const [start, end, side] of [["left", "right", "width"], ["top", "bottom", "height"]]) {
      const low = Math.ceil(box[start] * ratio - 0.02), length = Math.max(Math.floor(box[end] * ratio + 0.02) - low, 0);
      canvas.style[start] = `${low / ratio - box[start]}px`;
      canvas.style[side] = `${length / ratio}px`;
      if (canvas[side] === length) continue;
      canvas[side] = length;
      stale.add("view");
    }
  }
  function draw() {
    marks.replaceChildren(...[...boxes, region].filter(Boolean).map((box) => {
      const mark = document.createElement("div"), { x, y, width, height, label = "", found } = box;
      const [a, b] = toScreen(x, y), [c, d] = toScreen(x + width, y + height);
      const sides = { left: Math.min(a, c), top: Math.min(b, d), width: Math.abs(a - c), height: Math.abs(b - d) };
      for (const [side, value] of Object.entries(sides)) mark.style[side] = `${value / devicePixelRatio}px`;
      mark.className = box === region ? "film-region" : found === false ? "film-missing" : "film-box";
      mark.textContent = label;
      return mark;
    }));
  }
  /* The line below the film; the status for screen readers, once it has settled; the event `view`. */
  function describe(scale) {
    const window = film && chosen(film, state.window), short = (value) => +value.toFixed(2);
    line.textContent = message || (film && [
      t("film_zoom", { percent: Math.round(scale * 100) }), window.name,
      window.width ? t("film_window", { centre: short(window.centre), width: short(window.width) }) : t(`film_${window}`),
      state.rotation && t("film_turned", { degrees: state.rotation * 90 }), state.inverted && t("film_inverted"),
      region && t("film_region", region), level?.level > 1 && scale > 0.5 && t("film_reduced", level),
    ].filter(Boolean).join(" · "));
    later("status", 500, () => (status.textContent = line.textContent));
    if (film) tell("view", view.state);
  }
}

/* Keeps views in step with each other; returns what ends it. */
export function link(views) {
  const { zoom, x, y } = views[0].state;
  for (const view of views) {
    view.followers = views.filter((other) => other !== view);
    view.set({ zoom, x, y });
  }
  return () => views.forEach((view) => (view.followers = []));
}
