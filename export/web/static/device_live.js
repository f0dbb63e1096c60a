// A camera's frames through this device's engine: one at a time, always the newest.

import { deviceFor } from "./device.js";
import { say } from "./status.js";

export class Live {
  /** Call `show(before, after, milliseconds)` for every frame, and `passed(number)` with those passed over so far. */
  constructor(choice, { show, passed }) {
    Object.assign(this, { choice, show, passed, count: 0, ready: false });
    this.device = deviceFor(choice);
    this.device.engine.then(() => (this.ready = !this.closed), () => {}); // the sentence is on the page already
  }

  /** Count a frame that came while another was translated. */
  skip() {
    if (this.shown) this.passed((this.count += 1));
  }

  /** Translate what a canvas shows; the result gets its size, also from a model that works at one size only. */
  send(canvas) {
    this.ready = false;
    this.#translate(canvas); // which nobody waits for, so that the frames are counted that come meanwhile
  }

  async #translate(canvas) {
    const sent = performance.now();
    try {
      const [before, frame] = await Promise.all([createImageBitmap(canvas), createImageBitmap(canvas)]);
      const { bitmap, engine } = await this.device.translate(frame, this.choice.size);
      const after = await sizedAs(before, bitmap);
      if (this.closed) return;
      this.show(before, after, { engine, latency: performance.now() - sent });
      this.shown = this.ready = true;
    } catch (error) {
      if (!this.closed) say(`The camera stands still: ${error.message}`, true);
    }
  }

  close() {
    this.closed = true;
    this.ready = false;
  }
}

async function sizedAs({ width, height }, bitmap) {
  if (bitmap.width === width && bitmap.height === height) return bitmap;
  return createImageBitmap(bitmap, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
}
