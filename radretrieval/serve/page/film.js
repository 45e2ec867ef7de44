/* The pixels of a film: which level to fetch for a scale, fetched once, decoded, the last ones kept. */

const KEPT = 192 * 2 ** 20; // bytes of decoded levels, of all films together
const LARGEST = 64e6; // pixels of a level; what is larger is shown by its half or quarter

const kept = new Map(); // url → Uint16Array, the least recently used first
const running = new Map(); // url → { done, controller, reports }

/* The levels that may be fetched: all but those too large; at least the smallest. */
function possible(film) {
  const levels = [...film.levels].sort((a, b) => a.level - b.level);
  return levels.filter((level, i) => level.rows * level.columns <= LARGEST || i === levels.length - 1);
}

/* The coarsest level whose pixels are not magnified at `scale` device pixels a film pixel, else the finest. */
export function levelFor(film, scale) {
  const levels = possible(film);
  return levels.findLast((level) => scale * level.level <= 1 + 1e-9) ?? levels[0];
}

/* Whether the finest level is too large to be fetched. */
export const reduced = (film) => possible(film)[0].level > 1;

/* A level as Uint16Array, rows × columns. `signal` gives it up; `progress` is called with the share that has come.
   Two that ask for the same level get it from one request, which ends when both have given it up. */
export function levelPixels(level, { signal, progress } = {}) {
  const found = kept.get(level.url);
  if (found) {
    kept.delete(level.url);
    kept.set(level.url, found);
    return Promise.resolve(found);
  }
  let job = running.get(level.url);
  if (!job) {
    job = { controller: new AbortController(), reports: new Set() };
    running.set(level.url, job);
    const end = () => running.get(level.url) === job && running.delete(level.url);
    job.done = fetched(level, job).then((pixels) => (keep(level.url, pixels), pixels)).finally(end);
  }
  const report = (share) => progress?.(share);
  job.reports.add(report);
  signal?.addEventListener("abort", () => {
    job.reports.delete(report);
    if (job.reports.size) return;
    running.delete(level.url);
    job.controller.abort();
  });
  return job.done;
}

function keep(url, pixels) {
  kept.set(url, pixels);
  let bytes = [...kept.values()].reduce((sum, one) => sum + one.byteLength, 0);
  for (const [old, one] of kept) {
    if (bytes <= KEPT || old === url) break;
    kept.delete(old);
    bytes -= one.byteLength;
  }
}

async function fetched({ url, rows, columns }, { controller, reports }) {
  const response = await fetch(url, { signal: controller.signal });
  if (!response.ok) throw new Error(await problem(response));
  const bytes = new Uint8Array(2 * rows * columns);
  const reader = response.body.getReader();
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (length + part.value.length <= bytes.length) bytes.set(part.value, length);
    length += part.value.length;
    for (const report of reports) report(length / bytes.length);
  }
  if (length !== bytes.length) throw new Error(`${length} of ${bytes.length} bytes of the pixels have come`);
  return decoded(bytes, rows, columns);
}

/* The words of a problem document (RFC 9457), else the status. */
async function problem(response) {
  const told = await response.json().catch(() => ({}));
  return told.detail ?? told.title ?? `${response.status} ${response.statusText}`;
}

/* Pixels from each row's differences to the left, folded (2d, or -2d - 1 of a negative one): the plane of their low
   bytes, then that of the high bytes. */
export function decoded(bytes, rows, columns) {
  const count = rows * columns;
  const pixels = new Uint16Array(count);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let value = 0, end = i + columns; i < end; i++) {
      const folded = bytes[i] | (bytes[count + i] << 8);
      value = (value + ((folded >> 1) ^ -(folded & 1))) & 0xffff;
      pixels[i] = value;
    }
  }
  return pixels;
}

/* Where in a level each of `count` screen pixels from `start` on is, of a film `length` screen pixels long: the nearest
   sample, or with `smooth` both neighbours and the share of the second. */
function axis(start, count, length, pixels, size, step, reverse, smooth) {
  const first = new Int32Array(count), second = new Int32Array(count), share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const part = (start + i + 0.5) / length;
    const at = (reverse ? 1 - part : part) * pixels - (smooth ? 0.5 : 0) + 1e-9;
    const low = Math.floor(at);
    first[i] = Math.min(Math.max(low, 0), size - 1) * step;
    second[i] = Math.min(Math.max(low + 1, 0), size - 1) * step;
    share[i] = at - low;
  }
  return { first, second, share };
}

/* The 16-bit values of the part of the screen that the film covers, and an ImageData of its size. */
export function resampled(pixels, level, film, shape, rotation, screen, smooth, before) {
  const left = Math.max(shape.left, 0), top = Math.max(shape.top, 0);
  const width = Math.min(Math.round(shape.left + shape.width), screen.width) - left;
  const height = Math.min(Math.round(shape.top + shape.height), screen.height) - top;
  if (width <= 0 || height <= 0) return null;
  const same = before?.image.width === width && before.image.height === height;
  const { image, values } = same ? before : { image: new ImageData(width, height), values: new Uint16Array(width * height) };
  const across = [film.columns / level.level, level.columns, 1], down = [film.rows / level.level, level.rows, level.columns];
  const [alongX, alongY] = rotation % 2 ? [down, across] : [across, down];
  const x = axis(left - shape.left, width, shape.width, ...alongX, rotation === 1 || rotation === 2, smooth);
  const y = axis(top - shape.top, height, shape.height, ...alongY, rotation > 1, smooth);
  for (let row = 0, i = 0; row < height; row++) {
    const above = y.first[row], below = y.second[row], part = y.share[row];
    if (!smooth) for (let column = 0; column < width; column++) values[i++] = pixels[above + x.first[column]];
    else {
      for (let column = 0; column < width; column++) {
        const a = x.first[column], b = x.second[column], share = x.share[column];
        const upper = pixels[above + a] + (pixels[above + b] - pixels[above + a]) * share;
        const lower = pixels[below + a] + (pixels[below + b] - pixels[below + a]) * share;
        values[i++] = upper + (lower - upper) * part + 0.5;
      }
    }
  }
  return { left, top, image, values };
}
