/* Greys by the rule of DICOM (PS3.3 C.11), in double precision, as radretrieval/imaging/grey.py computes them. */

const VALUES = 65536;

/* Halves go to the even neighbour, as numpy's rint rounds them. */
function rint(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}

function lookedUp({ first, table }, value) {
  return table[Math.min(Math.max(rint(value) - first, 0), table.length - 1)];
}

const clipped = (share) => (share < 0 ? 0 : share > 1 ? 1 : share);

/* The modality value of each of the 65,536 values that can be sent. */
export function modalityValues({ offset, modality }) {
  const values = new Float64Array(VALUES);
  for (let i = 0; i < VALUES; i++) {
    values[i] = modality.table ? lookedUp(modality, i + offset) : (i + offset) * modality.slope + modality.intercept;
  }
  return values;
}

/* How a modality value becomes 0…1: `window` is "lut", "range" or { centre, width, function }. */
function shading(film, window) {
  if (window === "lut") {
    const full = 2 ** Math.max(1, 32 - Math.clz32(film.lut.largest)) - 1;
    return (value) => lookedUp(film.lut, value) / full;
  }
  if (window === "range") {
    const [low, high] = film.range;
    return high > low ? (value) => clipped((value - low) / (high - low)) : () => 0;
  }
  let { centre, width } = window;
  if (window.function === "SIGMOID" && width > 0) return (value) => 1 / (1 + Math.exp((-4 * (value - centre)) / width));
  if (window.function !== "LINEAR_EXACT" && window.function !== "SIGMOID") {
    centre -= 0.5;
    width -= 1;
  }
  // width 1 is a threshold, the centre itself black; a width of 0 must not divide either
  return width > 0 ? (value) => clipped((value - centre) / width + 0.5) : (value) => (value > centre ? 1 : 0);
}

/* The opaque grey pixel (as ImageData has it, four bytes in one) of each value that can be sent. `values`: its
   modality values; `inverse`: the user's inversion. The film's own inversion comes after the window, padding last. */
export function greyPixels(film, values, window, inverse = false) {
  const shade = shading(film, window);
  const inverted = film.inverted !== inverse;
  const pixels = new Uint32Array(VALUES);
  for (let i = 0; i < VALUES; i++) {
    const share = inverted ? 1 - shade(values[i]) : shade(values[i]);
    pixels[i] = 0xff000000 | (Math.floor(255 * share + 0.5) * 0x010101);
  }
  if (film.padding) {
    const [low, high] = film.padding.map((stored) => Math.min(Math.max(stored - film.offset, -1), VALUES));
    pixels.fill(0xff000000, Math.max(low, 0), high + 1);
  }
  return pixels;
}

/* The windows that can be chosen by number: the file's, then those of its body part. */
export const presets = (film) => [...film.windows, ...(film.presets ?? [])];

/* What the film is shown with at first. */
export const initial = (film) => (film.initial === "window" ? { preset: 0 } : film.initial);

/* What was chosen ({ preset }, { centre, width }, "lut", "range") as `shading` takes it; what is none is the initial. */
export function chosen(film, choice) {
  if (choice === "range" || (choice === "lut" && film.lut)) return choice;
  const window = choice?.preset === undefined ? choice : presets(film)[choice.preset];
  if (Number.isFinite(window?.centre) && window.width >= 0) return window;
  return choice === film.initial ? "range" : chosen(film, initial(film));
}

/* The window nearest to what was chosen: where a drag that leaves a VOI LUT or the full range begins. */
export function asWindow(film, choice) {
  const window = chosen(film, choice);
  if (window === "lut" && film.windows.length) return film.windows[0];
  if (typeof window !== "string") return window;
  const [low, high] = window === "lut" ? [film.lut.first, film.lut.first + film.lut.table.length - 1] : film.range;
  return { centre: (low + high) / 2, width: high - low, function: "LINEAR_EXACT" };
}

/* How much a window changes by a drag of one CSS pixel: from the bits stored, for the values of one film may span far
   less, or by one wrong pixel far more. */
export function dragStep({ bits, modality }) {
  const table = modality.table;
  const span = table ? Math.max(...minMax(table)) - Math.min(...minMax(table)) : Math.abs(modality.slope) * 2 ** bits;
  return (span || 1024) / 1024;
}

function minMax(table) {
  return table.reduce(([low, high], entry) => [Math.min(low, entry), Math.max(high, entry)], [table[0], table[0]]);
}
