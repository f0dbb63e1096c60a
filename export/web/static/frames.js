// Pictures become what a model takes, and back: sides that its strides divide, padded by reflection, as runtime/contract.py.

const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { willReadFrequently: true });

/** Return the [width, height] that a picture of a size is translated at; `longest` bounds the longer side. */
export function workingSize(width, height, longest, { size }) {
  if (size) return [size[1], size[0]];
  const scale = Math.min(1, longest / Math.max(width, height));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/** Turn an ImageBitmap into uint8 [1, H, W, C]: scaled to `width` x `height`, on white, padded at the right and bottom. */
export function toPixels(bitmap, width, height, { input_channels: channels, size_multiple: multiple, size_minimum: minimum }) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const [outer, lines] = [width, height].map((side) => Math.ceil(Math.max(side, minimum) / multiple) * multiple);
  const [columns, rows] = [reflected(width, outer), reflected(height, lines)];
  const data = new Uint8Array(outer * lines * channels);
  let to = 0;
  for (let y = 0; y < lines; y += 1) {
    for (let x = 0; x < outer; x += 1) {
      const from = 4 * (rows[y] * width + columns[x]);
      if (channels === 1) data[to++] = Math.round(0.299 * rgba[from] + 0.587 * rgba[from + 1] + 0.114 * rgba[from + 2]);
      else for (let channel = 0; channel < 3; channel += 1) data[to++] = rgba[from + channel];
    }
  }
  return { data, shape: [1, lines, outer, channels] };
}

/** Turn uint8 [1, H, W, C] into an ImageBitmap of its first `width` columns and `height` rows. */
export function toBitmap({ data, shape: [, , outer, channels] }, width, height) {
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [from, to] = [channels * (y * outer + x), 4 * (y * width + x)];
      for (let channel = 0; channel < 3; channel += 1) image.data[to + channel] = data[from + (channels === 1 ? 0 : channel)];
      image.data[to + 3] = 255;
    }
  }
  return createImageBitmap(image);
}

/** Give for each of `outer` places the place among `side` that stands there: 0 1 2 1 0 1 2 … */
function reflected(side, outer) {
  const period = Math.max(1, 2 * (side - 1));
  return Array.from({ length: outer }, (_, place) => {
    const within = place % period;
    return within < side ? within : period - within;
  });
}
