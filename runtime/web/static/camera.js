// This device's camera, frame by frame through a live translator; only the newest frame is ever waiting.

import { choice, onChoice } from "./choices.js";
import { Compare } from "./compare.js";
import { Figures } from "./figures.js";
import { recordWith, snapshotWith } from "./recorder.js";
import { say } from "./status.js";

const element = (name) => document.getElementById(`camera-${name}`);

export class Camera {
  /** `Live` is the translator's class; it takes frames with `send` and gives them to `show`. */
  constructor(stage, Live) {
    this.Live = Live;
    this.compare = new Compare(stage);
    this.figures = new Figures(element("figures"));
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    this.sketch = document.createElement("canvas");
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
    document.addEventListener("visibilitychange", () => this.stream && this.#say(document.hidden));
  }

  async start() {
    if (!navigator.mediaDevices) {
      say("This browser gives the camera to https or localhost only; open this page there.", true);
      return;
    }
    this.#release();
    const asked = (this.asked = {});
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted(element("device").value) });
      if (asked !== this.asked) return end(stream); // stopped, or started again, while the browser asked for permission
      this.stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      if (asked !== this.asked) return;
      this.stop();
      return say(refusal(error), true);
    }
    if (asked !== this.asked) return;
    say("");
    this.stream.getVideoTracks()[0].addEventListener("ended", () => {
      this.stop();
      say("The camera is gone: unplugged, or taken by another program.", true);
    });
    element("tools").hidden = false;
    this.#listDevices();
    this.#connect();
    this.#everyFrame();
  }

  stop() {
    this.stopRecording();
    this.#release();
    this.live?.close();
    this.live = undefined;
    this.compare.clear();
    this.figures.reset();
    element("tools").hidden = true;
  }

  #release() {
    this.asked = undefined;
    end(this.stream);
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
    this.live?.close();
    this.live = new this.Live(choice(), {
      show: (before, after, milliseconds) => {
        this.compare.show(before, after);
        this.figures.frame(milliseconds);
      },
      passed: (number) => this.figures.set("passed", number),
    });
    this.figures.set("passed", 0);
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

  /** Send the newest frame, unless the translator is not ready for it. */
  async #send() {
    const { live, video } = this;
    if (this.sending || !video.videoWidth) return;
    if (!live.ready) {
      live.skip?.();
      return;
    }
    this.sending = true;
    try {
      this.#sketch();
      await live.send(this.sketch);
    } finally {
      this.sending = false;
    }
  }

  /** Draw the camera's picture at the chosen size. */
  #sketch() {
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, choice().size / Math.max(videoWidth, videoHeight));
    const [width, height] = [Math.round(videoWidth * scale), Math.round(videoHeight * scale)];
    if (this.sketch.width !== width || this.sketch.height !== height) Object.assign(this.sketch, { width, height });
    const context = this.sketch.getContext("2d");
    context.setTransform(this.mirrored ? -1 : 1, 0, 0, 1, this.mirrored ? width : 0, 0);
    context.drawImage(this.video, 0, 0, width, height);
  }

  /** Browsers stop the frames of a page that nobody sees. */
  #say(hidden) {
    say(hidden ? "Paused: this page is hidden." : "");
  }
}

function end(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

function wanted(device) {
  const video = { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" };
  return device ? { ...video, deviceId: { exact: device }, facingMode: undefined } : video;
}

function refusal({ name, message }) {
  if (name === "NotAllowedError") return "The camera was not allowed; allow it in the address bar, then start again.";
  if (name === "NotFoundError") return "There is no camera at this device; choose a picture or a video instead.";
  if (name === "NotReadableError") return "The camera is in use by another program; close that, then start again.";
  return `No camera: ${message}`;
}
