// This device's camera: JPEG frames to the server, translated ones back; the protocol is that of runtime/web/live.py.

import { Compare } from "./compare.js";
import { Figures } from "./figures.js";
import { recordWith, snapshotWith } from "./recorder.js";
import { chosenModel, chosenSize, onChoice, open, say } from "./server.js";

const MOST_UNDER_WAY = 3; // with the engine, waiting there, and on the line
const QUALITY = 0.85; // of the JPEG frames
const RETRY = 1500; // milliseconds

const element = (name) => document.getElementById(`camera-${name}`);

export class Camera {
  constructor(stage) {
    this.compare = new Compare(stage);
    this.figures = new Figures(element("figures"));
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    this.sketch = document.createElement("canvas");
    this.under = new Map(); // frames under way by number: when sent, and the picture
    this.number = 0;
    this.passed = 0;
    this.mirrored = true;
    this.stopRecording = recordWith(element("record"), this.compare);
    snapshotWith(element("snapshot"), this.compare);
    element("start").addEventListener("click", () => this.start());
    element("stop").addEventListener("click", () => {
      this.stop();
      element("start").focus();
    });
    element("device").addEventListener("change", () => this.start());
    element("mirror").addEventListener("click", ({ target }) => {
      this.mirrored = !this.mirrored;
      target.setAttribute("aria-pressed", this.mirrored);
    });
    onChoice(() => this.stream && this.#connect());
  }

  async start() {
    if (!navigator.mediaDevices) {
      say("This browser gives the camera to https or localhost only; see docs/serve.md for a tunnel.", true);
      return;
    }
    this.#release();
    const device = element("device").value;
    try {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
      if (device) Object.assign(video, { deviceId: { exact: device }, facingMode: undefined });
      this.stream = await navigator.mediaDevices.getUserMedia({ video });
    } catch (error) {
      say(error.name === "NotAllowedError" ? "The camera was not allowed." : `No camera: ${error.message}`, true);
      return;
    }
    say("");
    this.video.srcObject = this.stream;
    await this.video.play();
    element("tools").hidden = false;
    this.#listDevices();
    this.#connect();
    this.#everyFrame();
  }

  stop() {
    this.stopRecording();
    this.#release();
    this.socket?.close();
    this.socket = undefined;
    this.compare.clear();
    this.figures.reset();
    element("tools").hidden = true;
  }

  #release() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = undefined;
  }

  async #listDevices() {
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const current = this.stream?.getVideoTracks()[0]?.getSettings().deviceId;
    element("device").replaceChildren(
      ...cameras.map(({ label, deviceId }, i) => new Option(label || `Camera ${i + 1}`, deviceId, false, deviceId === current)),
    );
    element("device").parentElement.hidden = cameras.length < 2;
  }

  #connect() {
    this.socket?.close();
    this.under.clear();
    const socket = open(`/v1/live?${new URLSearchParams({ model: chosenModel() })}`);
    this.socket = socket;
    socket.addEventListener("message", ({ data }) => this.#receive(socket, data));
    socket.addEventListener("close", ({ reason }) => {
      if (socket !== this.socket) return; // replaced by another
      say(reason || "The server is not there, or has no place free; trying again …", true);
      if (!reason) setTimeout(() => socket === this.socket && this.stream && this.#connect(), RETRY);
    });
    socket.addEventListener("open", () => say(""));
  }

  #everyFrame() {
    const { stream } = this;
    const next = () => {
      if (this.stream !== stream) return;
      this.#send();
      this.video.requestVideoFrameCallback ? this.video.requestVideoFrameCallback(next) : requestAnimationFrame(next);
    };
    next();
  }

  /** Send the newest frame, unless enough are under way or the line is not free. */
  async #send() {
    const { socket, video } = this;
    if (this.drawing || !video.videoWidth || socket?.readyState !== WebSocket.OPEN) return;
    if (this.under.size >= MOST_UNDER_WAY || socket.bufferedAmount > 0) return;
    this.drawing = true;
    try {
      const sent = performance.now();
      const number = (this.number = (this.number + 1) >>> 0);
      this.#sketch();
      const [picture, jpeg] = await Promise.all([
        createImageBitmap(this.sketch),
        new Promise((resolve) => this.sketch.toBlob(resolve, "image/jpeg", QUALITY)),
      ]);
      if (socket !== this.socket || socket.readyState !== WebSocket.OPEN) return picture.close();
      this.under.set(number, { sent, picture });
      socket.send(new Blob([new Uint32Array([number]), jpeg]));
    } finally {
      this.drawing = false;
    }
  }

  /** Draw the camera's picture at the chosen size. */
  #sketch() {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, chosenSize() / Math.max(videoWidth, videoHeight));
    const [width, height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
    if (this.sketch.width !== width || this.sketch.height !== height) Object.assign(this.sketch, { width, height });
    const context = this.sketch.getContext("2d");
    context.setTransform(this.mirrored ? -1 : 1, 0, 0, 1, this.mirrored ? width : 0, 0);
    context.drawImage(this.video, 0, 0, width, height);
  }

  async #receive(socket, data) {
    const head = new DataView(data);
    const number = head.getUint32(0, true);
    const frame = this.under.get(number);
    this.under.delete(number);
    if (!frame || socket !== this.socket) return;
    if (data.byteLength === 8) {
      frame.picture.close();
      this.figures.set("passed", (this.passed += 1));
      return;
    }
    const after = await createImageBitmap(new Blob([data.slice(8)], { type: "image/jpeg" }));
    if (socket !== this.socket) return;
    this.compare.show(frame.picture, after);
    this.figures.frame({ engine: head.getFloat32(4, true), latency: performance.now() - frame.sent });
    this.figures.set("passed", this.passed);
  }
}
