// The server's own camera; the protocol is that of runtime/web/broadcast.py.

import { Compare } from "./compare.js";
import { Figures } from "./figures.js";
import { recordWith, snapshotWith } from "./recorder.js";
import { open } from "./server.js";
import { say } from "./status.js";

const RETRY = 1500; // milliseconds

export class Stream {
  constructor(stage) {
    this.compare = new Compare(stage);
    this.figures = new Figures(document.getElementById("stream-figures"));
    this.tools = document.getElementById("stream-tools");
    this.stopRecording = recordWith(document.getElementById("stream-record"), this.compare);
    snapshotWith(document.getElementById("stream-snapshot"), this.compare);
  }

  start() {
    if (this.socket) return;
    const socket = (this.socket = open("/v1/stream"));
    socket.addEventListener("message", ({ data }) => this.#receive(socket, data));
    socket.addEventListener("close", ({ reason }) => {
      if (socket !== this.socket) return;
      this.socket = undefined;
      say(reason || "The stream is not there, or has no place free; trying again …", true);
      setTimeout(() => this.wanted && this.start(), RETRY);
    });
    socket.addEventListener("open", () => say(""));
    this.wanted = true;
  }

  stop() {
    this.wanted = false;
    this.stopRecording();
    const { socket } = this;
    this.socket = undefined;
    socket?.close();
    this.figures.reset();
  }

  async #receive(socket, data) {
    if (this.busy) return; // a newer one will come
    this.busy = true;
    try {
      const head = new DataView(data);
      const length = head.getUint32(8, true);
      const [before, after] = await Promise.all(
        [data.slice(12, 12 + length), data.slice(12 + length)].map((jpeg) =>
          createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })),
        ),
      );
      if (socket !== this.socket) return;
      this.compare.show(before, after);
      this.figures.frame({ engine: head.getFloat32(4, true) });
      this.tools.hidden = false;
    } finally {
      this.busy = false;
    }
  }
}
