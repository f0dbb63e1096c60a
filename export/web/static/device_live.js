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

  /** Translate what a canvas shows. */
  async send(canvas) {
    this.ready = false;
    const sent = performance.now();
    const [before, frame] = await Promise.all([createImageBitmap(canvas), createImageBitmap(canvas)]);
    this.device.translate(frame, this.choice.size).then(
      ({ bitmap, engine }) => {
        if (this.closed) return;
        this.show(before, bitmap, { engine, latency: performance.now() - sent });
        this.shown = this.ready = true;
      },
      (error) => this.closed || say(`The camera stands still: ${error.message}`, true),
    );
  }

  close() {
    this.closed = true;
    this.ready = false;
  }
}
