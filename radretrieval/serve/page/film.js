/* The pixels of a film: the level for a scale, fetched and decoded, the last ones kept; a level brought to the screen. */
const KEPT = 192 * 2 ** 20; // bytes of decoded levels, of all films together
const LARGEST = 64e6; // pixels of a level; of a larger one the next is shown
const kept = new Map(); // by URL, the least recently used first

/* The coarsest level that is not magnified at `scale` device pixels a film pixel, else the finest that may be fetched. */
export function levelFor({ levels }, scale) {
  const fit = levels.filter((level) => level.rows * level.columns <= LARGEST || level === levels.at(-1));
  return fit.findLast((level) => scale * level.level < 1 + 1e-9) ?? fit[0];
}

/* A level as Uint16Array; `progress` is called with the share that has come. */
export async function levelPixels({ url, rows, columns }, signal, progress) {
  let pixels = kept.get(url);
  if (!pixels) {
    const response = await fetch(url, { signal });
    if (!response.ok) {
      const problem = await response.json().catch(() => ({})); // RFC 9457
      throw new Error(problem.detail ?? problem.title ?? `${response.status}`);
    }
    const bytes = new Uint8Array(2 * rows * columns), reader = response.body.getReader();
    let length = 0;
    for (let part; !(part = await reader.read()).done; length += part.value.length) {
      bytes.set(part.value.subarray(0, bytes.length - length), length);
      progress(length / bytes.length);
    }
    if (length !== bytes.length) throw new Error(`${length} / ${bytes.length} bytes`);
    pixels = decoded(bytes, rows, columns);
  }
  kept.delete(url);
  kept.set(url, pixels);
  let size = 0;
  for (const [old, { byteLength }] of [...kept].reverse()) if ((size += byteLength) > KEPT && old !== url) kept.delete(old);
  return pixels;
}

/* Pixels from each row's differences to the left, folded (2d, or -2d - 1 of a negative one): the plane of their low
   bytes, then that of the high bytes. */
function decoded(bytes, rows, columns) {
  const count = rows * columns, pixels = new Uint16Array(count);
  for (let end = columns, i = 0; end <= count; end += columns) {
    for (let value = 0; i < end; i++) {
      const folded = bytes[i] | (bytes[count + i] << 8);
      pixels[i] = value = (value + ((folded >> 1) ^ -(folded & 1))) & 0xffff;
    }
  }
  return pixels;
}

/* For each of `count` screen pixels from `start` on, of a film `length` of them long: where the nearest of its `size`
   samples is, `step` apart; with `smooth` both neighbours and the share of the second. */
function axis(start, count, length, reverse, smooth, [pixels, size, step]) {
  const first = new Int32Array(count), second = new Int32Array(count), share = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const part = (start + i + 0.5) / length;
    const at = (reverse ? 1 - part : part) * pixels - (smooth ? 0.5 : 0) + 1e-9, low = Math.floor(at);
    first[i] = Math.min(Math.max(low, 0), size - 1) * step;
    second[i] = Math.min(Math.max(low + 1, 0), size - 1) * step;
    share[i] = at - low;
  }
  return [first, second, share];
}

/* The 16-bit values of the part of the screen that the film covers, and an ImageData for it; those of `before` are
   taken again where their size is the same. */
export function resampled(film, level, pixels, shape, rotation, screen, smooth, before) {
  const left = Math.max(shape.left, 0), top = Math.max(shape.top, 0);
  const width = Math.min(Math.round(shape.left + shape.width), screen.width) - left;
  const height = Math.min(Math.round(shape.top + shape.height), screen.height) - top;
  if (width <= 0 || height <= 0) return null;
  let { image, values } = before ?? {};
  if (image?.width !== width || image.height !== height) {
    [image, values] = [new ImageData(width, height), new Uint16Array(width * height)];
  }
  const sides = [[film.columns / level.level, level.columns, 1], [film.rows / level.level, level.rows, level.columns]];
  if (rotation % 2) sides.reverse();
  const turned = rotation === 1 || rotation === 2;
  const [xs, nextXs, shares] = axis(left - shape.left, width, shape.width, turned, smooth, sides[0]);
  const [ys, nextYs, rowShares] = axis(top - shape.top, height, shape.height, rotation > 1, smooth, sides[1]);
  for (let row = 0, i = 0; row < height; row++) {
    const y = ys[row], nextY = nextYs[row], rowShare = rowShares[row];
    if (!smooth) for (let column = 0; column < width; column++) values[i++] = pixels[y + xs[column]];
    else for (let column = 0; column < width; column++) {
      const x = xs[column], nextX = nextXs[column], share = shares[column];
      const upper = pixels[y + x] + (pixels[y + nextX] - pixels[y + x]) * share;
      const lower = pixels[nextY + x] + (pixels[nextY + nextX] - pixels[nextY + x]) * share;
      values[i++] = upper + (lower - upper) * rowShare + 0.5;
    }
  }
  return { left, top, image, values };
}
