// Records a canvas until told to stop.

import { save, stamp } from "./download.js";
import { say } from "./status.js";

const TYPES = ["video/mp4;codecs=avc1", "video/webm;codecs=vp9", "video/webm"];

/** Make `button` start and end a recording of the compare's canvas; return what ends one that runs. */
export function recordWith(button, compare) {
  let recorder;

  const stop = () => recorder?.state === "recording" && recorder.stop();

  const start = () => {
    if (!self.MediaRecorder || !compare.canvas.captureStream) {
      return say("This browser cannot record; take a snapshot instead.", true);
    }
    const mimeType = TYPES.find((candidate) => MediaRecorder.isTypeSupported(candidate));
    const parts = [];
    let trouble = "";
    recorder = new MediaRecorder(compare.canvas.captureStream(30), { mimeType, videoBitsPerSecond: 8_000_000 });
    const type = mimeType ?? recorder.mimeType;
    recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    recorder.addEventListener("error", ({ error }) => (trouble = ` It ended early: ${error?.message ?? "the encoder failed"}.`));
    recorder.addEventListener("stop", () => {
      mark(false);
      save(new Blob(parts, { type }), `cyclegan-${stamp()}.${type.startsWith("video/mp4") ? "mp4" : "webm"}`);
      say(`Recording saved.${trouble}`, Boolean(trouble));
    });
    recorder.start(1000);
    mark(true);
    say("Recording …");
  };

  const mark = (recording) => {
    button.setAttribute("aria-pressed", recording);
    button.classList.toggle("recording", recording);
    button.textContent = recording ? "Stop recording" : "Record";
  };

  button.addEventListener("click", () => (recorder?.state === "recording" ? stop() : start()));
  return stop;
}

/** Make `button` save what the compare shows. */
export function snapshotWith(button, compare) {
  button.addEventListener("click", async () => {
    save(await compare.snapshot(), `cyclegan-${stamp()}.png`);
    say("Snapshot saved.");
  });
}
