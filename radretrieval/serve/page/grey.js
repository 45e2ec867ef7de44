/* Greys by the rule of DICOM (PS3.3 C.11), in double precision, as radretrieval/imaging/display.py computes them. */
const VALUES = 65536;
const clipped = (share) => (share < 0 ? 0 : share > 1 ? 1 : share);

/* The entry of a look-up table for a value; halves go to the even neighbour, as numpy's rint rounds them. */
function entry({ first, table }, value) {
  const up = Math.round(value), near = up - value === 0.5 && up % 2 ? up - 1 : up;
  return table[Math.min(Math.max(near - first, 0), table.length - 1)];
}

/* How a modality value becomes 0…1: `window` is "lut", "range" or { centre, width, function }. */
function shading({ lut, range: [low, high] }, window) {
  if (window === "lut") return (value) => entry(lut, value) / lut.largest;
  if (window === "range") return (value) => (high > low ? clipped((value - low) / (high - low)) : 0);
  let { centre, width } = window;
  if (window.function === "SIGMOID") return (value) => 1 / (1 + Math.exp((-4 * (value - centre)) / width));
  if (window.function !== "LINEAR_EXACT") [centre, width] = [centre - 0.5, width - 1];
  // of width 1 it is a threshold, the centre itself black
  return (value) => (width > 0 ? clipped((value - centre) / width + 0.5) : +(value > centre));
}

/* The modality value of each of the 65,536 values that can be sent. */
export function modalityValues({ offset, modality }) {
  const { table, slope, intercept } = modality, values = new Float64Array(VALUES);
  for (let i = 0; i < VALUES; i++) values[i] = table ? entry(modality, i + offset) : (i + offset) * slope + intercept;
  return values;
}

/* The opaque pixel, as ImageData has it, of each value that can be sent, from their modality values. The film's own
   inversion, or the user's, comes after the window, the black of padding last. */
export function greyPixels(film, values, window, inverse) {
  const shade = shading(film, window), inverted = film.inverted !== inverse, pixels = new Uint32Array(VALUES);
  for (let i = 0; i < VALUES; i++) {
    const share = inverted ? 1 - shade(values[i]) : shade(values[i]);
    pixels[i] = 0xff000000 | (Math.floor(255 * share + 0.5) * 0x010101);
  }
  const [low, high] = film.padding ?? [0, -1];
  if (high >= film.offset) pixels.fill(0xff000000, Math.max(low - film.offset, 0), high - film.offset + 1);
  return pixels;
}

/* The windows that are chosen by number: the file's, then those of its body part. */
export const presets = (film) => [...film.windows, ...film.presets];

/* What is shown first. */
export const initial = (film) => (film.initial === "window" ? { preset: 0 } : film.initial);

/* A choice ({ preset }, { centre, width }, "lut", "range") as `shading` takes it; what is none is the initial one. */
export function chosen(film, choice) {
  const window = presets(film)[choice?.preset] ?? choice;
  if (window === "range" || (window === "lut" && film.lut)) return window;
  return Number.isFinite(window?.centre) && window.width > 0 ? window : chosen(film, initial(film));
}

/* A choice as a window: where a drag begins that leaves a VOI LUT or the full range. */
export function asWindow(film, choice) {
  const window = chosen(film, choice), { lut } = film;
  if (window.width) return window;
  if (window === "lut" && film.windows.length) return film.windows[0];
  const [low, high] = window === "lut" ? [lut.first, lut.first + lut.table.length - 1] : film.range;
  return { centre: (low + high) / 2, width: high - low || 1, function: "LINEAR_EXACT" };
}

/* How much a drag of a CSS pixel changes a window: by the bits stored, for one wrong pixel can make the range of the
   film's values a thousand times too wide. */
export function dragStep({ bits, modality: { table, slope } }) {
  return (Math.abs(table ? table.at(-1) - table[0] : slope * 2 ** bits) || 1024) / 1024;
}
