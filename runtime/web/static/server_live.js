// A camera's frames to the server as JPEG, translated ones back; the protocol is that of runtime/web/live.py.

import { open } from "./server.js";
import { say } from "./status.js";

const MOST_UNDER_WAY = 3; // with the engine, waiting there, and on the line
const QUALITY = 0.85; // of the JPEG frames
const RETRY = 1500; // milliseconds

export class Live {
  /** Call `show(before, after, milliseconds)` for every frame, and `passed(number)` with those passed over so far. */
  constructor({ model }, { show, passed }) {
    this.show = show;
    this.passed = passed;
    this.address = `/v1/live?${new URLSearchParams({ model })}`;
    this.under = new Map(); // frames under way by number: when sent, and the picture
    this.number = 0;
    this.count = 0;
    this.#connect();
  }

  /** Whether a frame that is sent now would be taken. */
  get ready() {
    const { readyState, bufferedAmount } = this.socket;
    return readyState === WebSocket.OPEN && bufferedAmount === 0 && this.under.size < MOST_UNDER_WAY;
  }

  /** Send what a canvas shows. */
  async send(canvas) {
    const { socket } = this;
    const sent = performance.now();
    const number = (this.number = (this.number + 1) >>> 0);
    const [picture, jpeg] = await Promise.all([
      createImageBitmap(canvas),
      new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY)),
    ]);
    if (socket !== this.socket || socket.readyState !== WebSocket.OPEN) return picture.close();
    this.under.set(number, { sent, picture });
    socket.send(new Blob([new Uint32Array([number]), jpeg]));
  }

  close() {
    const { socket } = this;
    this.socket = undefined;
    socket.close();
  }

  #connect() {
    this.under.clear();
    const socket = (this.socket = open(this.address));
    socket.addEventListener("message", ({ data }) => this.#receive(socket, data));
    socket.addEventListener("close", ({ reason }) => {
      if (socket !== this.socket) return; // closed by us
      say(reason || "The server is not there, or has no place free; trying again …", true);
      if (!reason) setTimeout(() => socket === this.socket && this.#connect(), RETRY);
    });
    socket.addEventListener("open", () => say(""));
  }

  async #receive(socket, data) {
    const head = new DataView(data);
    const number = head.getUint32(0, true);
    const frame = this.under.get(number);
    this.under.delete(number);
    if (!frame || socket !== this.socket) return;
    if (data.byteLength === 8) {
      frame.picture.close();
      this.passed((this.count += 1));
      return;
    }
    const after = await createImageBitmap(new Blob([data.slice(8)], { type: "image/jpeg" }));
    if (socket !== this.socket) return;
    this.show(frame.picture, after, { engine: head.getFloat32(4, true), latency: performance.now() - frame.sent });
  }
}
