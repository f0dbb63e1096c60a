// The figures under a picture: shown twice a second, averaged over what came in since.

const PERIOD = 500; // milliseconds

export class Figures {
  constructor(list) {
    this.list = list;
    this.since = performance.now();
    this.sums = {};
    this.frames = 0;
  }

  /** Count one frame with its milliseconds, such as { engine: 12, latency: 20 }. */
  frame(milliseconds) {
    this.list.hidden = false;
    this.frames += 1;
    for (const [name, value] of Object.entries(milliseconds)) this.sums[name] = (this.sums[name] ?? 0) + value;
    const now = performance.now();
    if (now - this.since < PERIOD) return;
    this.set("fps", ((this.frames * 1000) / (now - this.since)).toFixed(1));
    for (const [name, sum] of Object.entries(this.sums)) this.set(name, inMilliseconds(sum / this.frames));
    Object.assign(this, { since: now, frames: 0, sums: {} });
  }

  /** Write one figure. */
  set(name, text) {
    const figure = this.list.querySelector(`[data-figure=${name}]`);
    if (figure) figure.textContent = text;
  }

  /** Begin anew. */
  reset() {
    Object.assign(this, { since: performance.now(), frames: 0, sums: {} });
    for (const figure of this.list.querySelectorAll("[data-figure]")) figure.textContent = "–";
    this.list.hidden = true;
  }
}

/** Write milliseconds, with one digit where that says something. */
export const inMilliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
