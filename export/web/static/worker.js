// The worker: one model in one engine, so that the page never waits. Closing it frees all that the engine holds.

import { toBitmap, toPixels, workingSize } from "./frames.js";
import { Unavailable, infer, openSession } from "./inference.js";

let opened, metadata;

const tasks = {
  /** Open `model` in `engine`. */
  async open(request) {
    metadata = request.model.metadata;
    opened = await openSession(request, (what, part) => postMessage({ progress: { what, part } }));
    return [opened.found];
  },

  /** Translate an ImageBitmap, at most `longest` pixels long; the result has the size that it was translated at. */
  async translate({ bitmap, longest }) {
    const [width, height] = workingSize(bitmap.width, bitmap.height, longest, metadata);
    const pixels = toPixels(bitmap, width, height, metadata);
    bitmap.close();
    const began = performance.now();
    const translated = await infer(opened, pixels.data, pixels.shape);
    const engine = performance.now() - began;
    const result = await toBitmap(translated, width, height);
    return [{ bitmap: result, engine }, [result]];
  },

  /** Run uint8 [N, H, W, C] as it is; this is what the verification holds against PyTorch. */
  async infer({ data, shape }) {
    const result = await infer(opened, data, shape);
    return [result, [result.data.buffer]];
  },
};

addEventListener("message", async ({ data: { id, task, request } }) => {
  try {
    const [result, transfer = []] = await tasks[task](request);
    postMessage({ id, result }, transfer);
  } catch (error) {
    postMessage({ id, error: error.message ?? String(error), unavailable: error instanceof Unavailable });
  }
});
