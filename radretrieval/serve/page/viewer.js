/* A film in a block of the page: shown, windowed, zoomed, turned; a region drawn on it, boxes, films in step. */
import { asWindow, chosen, dragStep, greyPixels, initial, modalityValues, presets } from "./grey.js";
import { levelFor, levelPixels, reduced, resampled } from "./film.js";

/* English; the page may assign those of another language. */
export const TEXTS = {
  film: "Film", loading: "Loading {percent} %", failed: "The film cannot be shown: {reason}",
  zoom: "Zoom {percent} %", window: "Window {centre} / {width}", range: "Full range", lut: "Table of the file (VOI LUT)",
  turned: "turned {degrees}°", inverted: "inverted", reduced: "too large: shown at 1/{level}",
  region: "Region {x}, {y}, {width} × {height}",
};

/* The keys of a film that has the focus, and the name of what they do. */
export const KEYS = [
  ["← ↑ → ↓", "move"], ["Shift + ← ↑ → ↓", "size"], ["Ctrl + ← ↑ → ↓", "fine"], ["+ −", "zoom"], ["0", "fit"],
  ["1", "one"], ["P", "pan"], ["W", "window"], ["Z", "zoomMode"], ["D", "region"], ["Esc", "noRegion"],
  ["PgUp PgDn", "presets"], ["I", "invert"], ["R", "rotate"], ["F", "fullScreen"], ["Home", "reset"], ["␣", "flicker"],
];

const START = { zoom: 1, x: 0.5, y: 0.5, rotation: 0, inverted: false, window: null };
const MODES = { p: "pan", w: "window", z: "zoom", d: "region" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const REST = 120; // ms without movement until the film is interpolated
const SIDE = 8; // film pixels of a region's side, at least
const between = (value, low, high) => Math.min(Math.max(value, low), high);
const filled = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
/* Shares of the film's width and height → of what is shown, turned clockwise so many times; the same of a direction. */
const turned = (times, [u, v]) => (times ? turned(times - 1, [1 - v, u]) : [u, v]);
const turnedBy = (times, [du, dv]) => (times ? turnedBy(times - 1, [-dv, du]) : [du, dv]);

export class FilmView {
  #stage; #canvas; #overlay; #line; #status;
  #film = null; #state = START; #mode = "pan"; #region = null; #boxes = []; #label = ""; #message = "";
  #values; #greys; #level; #pixels; #image; #samples; #abort; #loading; #failed;
  #frame; #stale = {}; #rest = true; #timers = {}; #pointers = new Map(); #drag;
  linked = new Set();

  constructor(element) {
    this.element = element;
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    if (getComputedStyle(element).position === "static") element.style.position = "relative";
    const make = (name, css, parent = this.#stage) => {
      const made = parent.appendChild(document.createElement(name));
      made.style.cssText = `position:absolute;${css}`;
      return made;
    };
    this.#stage = make("div", "inset:0;overflow:hidden;background:#000;touch-action:none;user-select:none", element);
    this.#canvas = make("canvas", "image-rendering:pixelated");
    this.#overlay = make("canvas", "image-rendering:pixelated");
    this.#line = make("div", "left:0;bottom:0;padding:0 .4em;background:#000;color:#ddd;font-size:.8em");
    this.#line.className = "film-line";
    this.#status = make("div", "width:1px;height:1px;overflow:hidden;clip-path:inset(50%)");
    this.#status.setAttribute("role", "status");
    for (const one of [this.#canvas, this.#overlay, this.#line]) one.setAttribute("aria-hidden", "true");
    this.#listen();
  }

  #listen() {
    const sized = new ResizeObserver(() => this.#repaint("view"));
    try {
      sized.observe(this.#stage, { box: "device-pixel-content-box" });
    } catch {
      sized.observe(this.#stage); // Safari
    }
    const on = (name, handle) => this.#stage.addEventListener(name, handle, { passive: false });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#pointers.has(event.pointerId) && this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#up(event));
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode ? 30 : 1;
      this.#zoomAt(this.#at(event), 1.0015 ** (-event.deltaY * lines));
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /* Shows a film (its JSON); false where another was shown, or none, before it had come. */
  async show(film, { label = "", state = {} } = {}) {
    this.clear();
    this.#film = film;
    this.#label = label;
    this.element.setAttribute("aria-label", label || TEXTS.film);
    this.#values = modalityValues(film);
    this.#settle(this.#stale);
    this.restore(state);
    try {
      await this.#load();
    } catch (error) {
      if (this.#film === film) throw error;
    }
    return this.#film === film;
  }

  clear() {
    this.#abort?.abort();
    this.#film = this.#level = this.#pixels = this.#image = this.#samples = this.#loading = this.#region = null;
    this.#failed = this.#drag = null;
    this.#boxes = [];
    this.#message = "";
    this.#repaint("view");
  }

  get film() { return this.#film; }
  get state() { return { ...this.#state }; }
  restore({ zoom, x, y, rotation, inverted, window } = {}) {
    const number = (value, or) => (Number.isFinite(+value) && value !== null ? +value : or);
    this.#state = START;
    this.#set({ zoom: number(zoom, 1), x: number(x, 0.5), y: number(y, 0.5), rotation: number(rotation, 0) & 3,
      inverted: Boolean(inverted), window: window ?? (this.#film && initial(this.#film)) });
  }

  get mode() { return this.#mode; }
  set mode(mode) {
    this.#mode = mode;
    this.#repaint("told");
  }
  get region() { return this.#region; }
  set region(region) {
    this.#region = region && { ...region };
    this.#repaint("told");
  }
  get boxes() { return this.#boxes; }
  set boxes(boxes) {
    this.#boxes = boxes;
    this.#repaint();
  }
  get presets() { return this.#film ? presets(this.#film) : []; }
  get window() { return this.#state.window; }
  set window(window) { this.#change({ window }); }
  invert() { this.#change({ inverted: !this.#state.inverted }); }
  rotate(times = 1) {
    const [x, y] = turned(times & 3, [this.#state.x, this.#state.y]);
    this.#change({ rotation: (this.#state.rotation + times) & 3, x, y });
  }
  fit() { this.#change({ zoom: 1, x: 0.5, y: 0.5 }); }
  one() { this.#change({ zoom: 1 / this.#shape().fit, x: this.#state.x, y: this.#state.y }); }
  reset() { this.#change({ ...START, window: initial(this.#film) }); }
  fullScreen() { document.fullscreenElement ? document.exitFullscreen() : this.element.requestFullscreen?.(); }

  /* The user's change, which linked views take part in. */
  #change(change) {
    if (!this.#film) return;
    this.#set(change);
    if ("x" in change) this.#moves();
    for (const other of this.linked) if (other.#film) other.#follow(this, change);
  }

  #set(change) {
    const state = { ...this.#state, ...change };
    state.zoom = between(state.zoom, 0.2, 32 / (this.#shape(state).fit || 1));
    for (const axis of "xy") state[axis] = between(state[axis], 0, 1);
    this.#state = state;
    if ("x" in change) this.#repaint("view");
    this.#repaint("window" in change || "inverted" in change ? "table" : "told", "told");
  }
  #moves() {
    this.#rest = false;
    this.#later("rest", REST, () => {
      this.#rest = true;
      this.#repaint("view");
    });
  }

  /* Zoom and place are shares of the film, so films of other sizes follow; a window is taken as it differs from the one
     that the film was first shown with. Turning and inverting are for each film alone. */
  #follow(leader, change) {
    const { zoom, x, y, window } = leader.#state;
    if ("x" in change && !("rotation" in change)) {
      this.#set({ zoom, x, y });
      this.#moves();
    }
    if (!("window" in change)) return;
    const [theirs, ours] = [leader.#film, this.#film];
    const named = window.preset !== undefined && presets(theirs)[window.preset]?.name;
    const preset = named ? presets(ours).findIndex(({ name }) => name === named) : -1;
    const first = asWindow(theirs, initial(theirs)), own = asWindow(ours, initial(ours));
    const now = asWindow(theirs, window), ratio = own.width / first.width || 1;
    if (preset >= 0) this.#set({ window: { preset } });
    else if (window === "range" || JSON.stringify(window) === JSON.stringify(initial(theirs)))
      this.#set({ window: window === "range" ? window : initial(ours) });
    else this.#set({ window: { centre: own.centre + (now.centre - first.centre) * ratio,
      width: Math.max(now.width * ratio, 1), function: own.function } });
  }

  /* What is shown in device pixels of the canvas: the film's scale at fit and now, its place and size. */
  #shape(state = this.#state) {
    const { width: across, height: down } = this.#canvas;
    if (!this.#film) return { fit: 0, scale: 0 };
    const { columns, rows, spacing } = this.#film;
    const size = [columns, spacing ? (rows * spacing[0]) / spacing[1] : rows];
    if (state.rotation % 2) size.reverse();
    const fit = Math.min(across / size[0], down / size[1]), scale = fit * state.zoom;
    const [width, height] = size.map((length) => length * scale);
    // whole pixels, so that at 1:1 each pixel of the film is one of the screen
    return { fit, scale, width, height, left: Math.round(across / 2 - state.x * width), top: Math.round(down / 2 - state.y * height) };
  }
  #toFilm([x, y]) {
    const { left, top, width, height } = this.#shape();
    const [u, v] = turned((4 - this.#state.rotation) % 4, [(x - left) / width, (y - top) / height]);
    return [u * this.#film.columns, v * this.#film.rows];
  }
  #toScreen([x, y]) {
    const { left, top, width, height } = this.#shape();
    const [u, v] = turned(this.#state.rotation, [x / this.#film.columns, y / this.#film.rows]);
    return [left + u * width, top + v * height];
  }
  #at({ clientX, clientY }) {
    const box = this.#canvas.getBoundingClientRect();
    return [(clientX - box.left) * devicePixelRatio, (clientY - box.top) * devicePixelRatio];
  }

  #zoomAt([x, y], ratio) {
    const { width, height } = this.#shape(), before = this.#state;
    const zoom = between(before.zoom * ratio, 0.2, 32 / this.#shape().fit), grown = 1 - before.zoom / zoom;
    this.#change({ zoom, x: before.x + ((x - this.#canvas.width / 2) / width) * grown,
      y: before.y + ((y - this.#canvas.height / 2) / height) * grown });
  }
  #panBy(dx, dy) {
    const { width, height } = this.#shape();
    this.#change({ x: this.#state.x - dx / width, y: this.#state.y - dy / height });
  }
  #windowBy(dx, dy, fine) {
    const step = dragStep(this.#film) * (fine ? 1 / 8 : 1), from = asWindow(this.#film, this.#state.window);
    const least = from.function === "LINEAR" ? 1 : step / 8;
    this.window = { centre: from.centre + dy * step, width: Math.max(from.width + dx * step, least), function: from.function };
  }

  #down(event) {
    this.element.focus({ preventScroll: true });
    if (!this.#film) return;
    this.#stage.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    this.#pointers.set(event.pointerId, at);
    if (this.#pointers.size > 1) this.#drag = null;
    else this.#drag = { mode: [null, "pan", "window"][event.button] ?? this.#mode, at, ...this.#grip(this.#toFilm(at)) };
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId), now = this.#at(event), { mode, at } = this.#drag ?? {};
    this.#pointers.set(event.pointerId, now);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]], ratio = devicePixelRatio;
    if (this.#pointers.size === 2) {
      const [other] = [...this.#pointers].find(([id]) => id !== event.pointerId).slice(1);
      const gap = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
      this.#panBy(dx / 2, dy / 2);
      this.#zoomAt([(now[0] + other[0]) / 2, (now[1] + other[1]) / 2], gap(now) / (gap(before) || 1));
    } else if (mode === "pan") this.#panBy(dx, dy);
    else if (mode === "zoom") this.#zoomAt(at, 1.01 ** (-dy / ratio));
    else if (mode === "window") this.#windowBy(dx / ratio, dy / ratio, event.shiftKey);
    else if (mode === "region" && (this.#drag.begun ||= Math.hypot(now[0] - at[0], now[1] - at[1]) > 3 * ratio)) {
      const [x, y] = this.#toFilm(now), [fromX, fromY] = this.#toFilm(at);
      this.#reshape(this.#drag.edges, this.#drag.held, x - fromX, y - fromY);
    }
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    if (this.#drag?.begun) this.#tell("region", this.#region);
    this.#drag = null;
  }

  /* Edges of the region (left, top, right, bottom) and which of them a drag from this film pixel takes along: those
     near it, all where it is inside; elsewhere a new region begins. */
  #grip([x, y]) {
    const near = (8 * devicePixelRatio) / this.#shape().scale, region = this.#region;
    if (region) {
      const edges = [region.x, region.y, region.x + region.width, region.y + region.height];
      const held = edges.map((edge, i) => Math.abs((i % 2 ? y : x) - edge) < near);
      if (x > edges[0] - near && x < edges[2] + near && y > edges[1] - near && y < edges[3] + near)
        return { edges, held: held.some(Boolean) ? held : [true, true, true, true] };
    }
    return { edges: [x, y, x, y], held: [false, false, true, true] };
  }

  #reshape(edges, held, dx, dy) {
    const sides = [[0, dx, this.#film.columns], [1, dy, this.#film.rows]].map(([i, by, limit]) => {
      if (held[i] && held[i + 2]) by = between(by, -edges[i], limit - edges[i + 2]);
      const ends = [edges[i] + held[i] * by, edges[i + 2] + held[i + 2] * by].sort((a, b) => a - b).map(Math.round);
      const low = between(ends[0], 0, Math.max(limit - SIDE, 0));
      return [low, between(ends[1], Math.min(low + SIDE, limit), limit) - low];
    });
    this.region = { x: sides[0][0], y: sides[1][0], width: sides[0][1], height: sides[1][1] };
  }

  #key(event) {
    const key = event.key.toLowerCase(), arrow = ARROWS[event.key];
    if (!this.#film || event.altKey || event.metaKey || (event.ctrlKey && !arrow)) return;
    const centre = [this.#canvas.width / 2, this.#canvas.height / 2];
    const does = {
      "+": () => this.#zoomAt(centre, 1.25), "=": () => this.#zoomAt(centre, 1.25), "-": () => this.#zoomAt(centre, 0.8),
      0: () => this.fit(), 1: () => this.one(), i: () => this.invert(), r: () => this.rotate(event.shiftKey ? 3 : 1),
      f: () => this.fullScreen(), home: () => this.reset(), pageup: () => this.#cycle(-1), pagedown: () => this.#cycle(1),
      escape: () => this.#noRegion(), delete: () => this.#noRegion(),
    }[key] ?? (MODES[key] && (() => (this.mode = MODES[key]))) ?? (arrow && (() => this.#arrow(arrow, event)));
    if (!does) return;
    does();
    event.preventDefault();
  }

  #arrow([dx, dy], { shiftKey, ctrlKey }) {
    const step = 16 * devicePixelRatio;
    if (this.#mode === "window") this.#windowBy(dx * 16, dy * 16, ctrlKey);
    else if (this.#mode !== "region") this.#panBy(-dx * step * 2, -dy * step * 2);
    else {
      const { columns, rows } = this.#film, length = ctrlKey ? 1 : Math.max(1, Math.round(step / this.#shape().scale));
      this.#region ??= { x: columns / 4, y: rows / 4, width: columns / 2, height: rows / 2 };
      const { x, y, width, height } = this.#region, back = (4 - this.#state.rotation) % 4;
      // the edge that is right or below as the film is turned
      const [right, below] = turnedBy(back, [Math.abs(dx), Math.abs(dy)]);
      const held = shiftKey ? [right < 0, below < 0, right > 0, below > 0] : [true, true, true, true];
      const [byX, byY] = turnedBy(back, [dx * length, dy * length]);
      this.#reshape([x, y, x + width, y + height], held, byX, byY);
      this.#later("region", 250, () => this.#tell("region", this.#region));
    }
  }

  #noRegion() {
    if (!this.#region) return;
    this.region = null;
    this.#tell("region", null);
  }

  #cycle(step) {
    const choices = [...(this.#film.lut ? ["lut"] : []), ...this.presets.map((_, preset) => ({ preset })), "range"];
    const now = choices.findIndex((one) => JSON.stringify(one) === JSON.stringify(this.#state.window));
    this.window = choices[(now + step + choices.length) % choices.length];
  }

  #later(name, ms, act) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = setTimeout(act, ms);
  }
  #tell(name, detail) {
    this.element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }

  #load() {
    this.#loading ??= this.#fetch(this.#film);
    return this.#loading;
  }
  /* Fetches the level that fits the scale, and once more where the scale has changed meanwhile. */
  async #fetch(film) {
    const { signal } = (this.#abort = new AbortController());
    try {
      for (let level; this.#film === film && (level = levelFor(film, this.#shape().scale)) !== this.#level; ) {
        const progress = (share) => this.#pixels || this.#say(filled(TEXTS.loading, { percent: Math.floor(share * 100) }));
        const pixels = await levelPixels(level, { signal, progress });
        if (this.#film !== film) return;
        [this.#level, this.#pixels, this.#message] = [level, pixels, ""];
        this.#stale.view = this.#stale.told = true;
        this.#paint();
      }
      this.#loading = null;
    } catch (error) {
      if (this.#film === film) {
        this.#failed = true;
        this.#say(filled(TEXTS.failed, { reason: error.message }));
      }
      throw error;
    }
  }
  #say(message) {
    this.#message = message;
    this.#repaint("told");
  }

  #repaint(...what) {
    for (const one of what) this.#stale[one] = true;
    this.#frame ??= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    cancelAnimationFrame(this.#frame);
    this.#frame = null;
    const stale = this.#stale;
    this.#stale = {};
    this.#settle(stale);
    const context = this.#canvas.getContext("2d", { alpha: false });
    const film = this.#film, { rotation, inverted, window } = this.#state, shape = this.#shape();
    if (stale.view) {
      context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
      const smooth = this.#rest && shape.scale !== 1;
      this.#samples = this.#pixels && resampled(this.#pixels, this.#level, film, shape, rotation, this.#canvas, smooth, this.#samples);
    }
    if (stale.table) this.#greys = null;
    if (film && (stale.table || stale.view) && this.#samples) {
      const greys = (this.#greys ??= greyPixels(film, this.#values, chosen(film, window), inverted));
      const { left, top, image, values } = this.#samples;
      const out = new Uint32Array(image.data.buffer);
      for (let i = 0; i < out.length; i++) out[i] = greys[values[i]];
      context.putImageData(image, left, top);
    }
    this.#draw(shape.scale);
    if (stale.told) this.#describe(shape.scale);
    if (film && !this.#failed && stale.view && levelFor(film, shape.scale) !== this.#level) this.#load().catch(() => {});
  }

  /* Both canvases cover the whole device pixels within the block: else the browser would resample them. */
  #settle(stale) {
    const box = this.#stage.getBoundingClientRect(), ratio = devicePixelRatio;
    const [left, top] = [box.left, box.top].map((edge) => Math.ceil(edge * ratio - 0.02));
    const size = { width: Math.floor(box.right * ratio + 0.02) - left, height: Math.floor(box.bottom * ratio + 0.02) - top };
    for (const canvas of [this.#canvas, this.#overlay]) {
      canvas.style.left = `${left / ratio - box.left}px`;
      canvas.style.top = `${top / ratio - box.top}px`;
      for (const side of ["width", "height"]) {
        if (canvas[side] === Math.max(size[side], 0)) continue;
        canvas[side] = Math.max(size[side], 0);
        canvas.style[side] = `${canvas[side] / ratio}px`;
        stale.view = stale.told = true;
      }
    }
  }

  #draw(scale) {
    const context = this.#overlay.getContext("2d"), ratio = devicePixelRatio;
    context.clearRect(0, 0, this.#overlay.width, this.#overlay.height);
    if (!this.#film) return;
    const font = parseFloat(getComputedStyle(this.element).fontSize) * ratio;
    context.font = `${font}px system-ui, sans-serif`;
    const draw = ({ x, y, width, height, label, found }, colour) => {
      const [a, b] = [this.#toScreen([x, y]), this.#toScreen([x + width, y + height])];
      const [left, right] = [a[0], b[0]].sort((p, q) => p - q), [top, bottom] = [a[1], b[1]].sort((p, q) => p - q);
      context.setLineDash(found === false ? [6 * ratio, 4 * ratio] : []);
      for (const [style, line] of [["#000", 4], [colour, 2]]) {
        [context.strokeStyle, context.lineWidth] = [style, line * ratio];
        context.strokeRect(left, top, right - left, bottom - top);
      }
      if (!label) return;
      const above = top > font * 1.3 ? top - font * 1.3 : top;
      context.fillStyle = "#000";
      context.fillRect(left, above, context.measureText(label).width + font * 0.4, font * 1.3);
      context.fillStyle = colour;
      context.fillText(label, left + font * 0.2, above + font);
    };
    for (const box of this.#boxes) draw(box, box.found === false ? "#ffb09c" : "#5ee0ff");
    if (this.#region) draw(this.#region, "#ffd54a");
  }

  /* The line below the film, the status for screen readers when it has settled, and the event. */
  #describe(scale) {
    const film = this.#film, { rotation, inverted } = this.#state, window = film && chosen(film, this.#state.window);
    const parts = !film || this.#message ? [this.#message] : [
      filled(TEXTS.zoom, { percent: Math.round(scale * 100) }),
      TEXTS[window] ?? `${window.name ? `${window.name}: ` : ""}${filled(TEXTS.window, { centre: +window.centre.toFixed(2), width: +window.width.toFixed(2) })}`,
      rotation && filled(TEXTS.turned, { degrees: rotation * 90 }), inverted && TEXTS.inverted,
      this.#region && filled(TEXTS.region, this.#region), reduced(film) && filled(TEXTS.reduced, this.#level ?? {}),
    ];
    this.#line.textContent = parts.filter(Boolean).join(" · ");
    this.#later("status", 500, () => (this.#status.textContent = this.#line.textContent));
    if (film) this.#tell("view", this.state);
  }
}

/* Keeps views in step; returns what ends it. */
export function link(views) {
  for (const view of views) view.linked = new Set(views.filter((other) => other !== view));
  const { zoom, x, y } = views[0].state;
  for (const view of views) view.restore({ ...view.state, zoom, x, y });
  return () => views.forEach((view) => view.linked.clear());
}

/* Shows the film of `other` over that of `view`, in turns or half transparent; returns what ends it. Space takes the
   turns by hand, and alone does so for users who want no motion. */
export function compare(view, other, how) {
  const block = view.element.appendChild(document.createElement("div"));
  block.style.cssText = "position:absolute;inset:0;pointer-events:none";
  const over = new FilmView(block), ends = new AbortController();
  block.removeAttribute("role");
  block.removeAttribute("tabindex");
  block.ariaHidden = "true";
  if (how === "overlay") block.style.opacity = 0.5;
  const follow = () => {
    const { zoom, x, y } = view.state;
    over.restore({ ...other.state, zoom, x, y });
  };
  const flip = () => (block.style.visibility = block.style.visibility ? "" : "hidden");
  let timer;
  if (how === "flicker" && !matchMedia("(prefers-reduced-motion: reduce)").matches) timer = setInterval(flip, 700);
  const on = (element, name, act) => element.addEventListener(name, act, ends);
  on(view.element, "view", follow);
  on(other.element, "view", follow);
  on(view.element, "keydown", (event) => {
    if (event.key !== " ") return;
    clearInterval(timer);
    flip();
    event.preventDefault();
  });
  over.show(other.film, { state: other.state }).then(follow, () => {});
  return () => {
    clearInterval(timer);
    ends.abort();
    over.clear();
    block.remove();
  };
}
