// One video on this device: Mediabunny reads and writes its container, WebCodecs its frames, the engine translates each.

import { Device } from "./device.js";
import { openResult } from "./device_result.js";

const MEDIABUNNY = new URL("../libraries/mediabunny/mediabunny.min.js", import.meta.url);

let last = Promise.resolve(); // videos wait for one another

export class VideoJob {
  constructor(picked) {
    this.picked = picked;
  }

  /** Translate `file`; `tell(sentence, part)` hears how far it is. Returns undefined once it was removed. */
  async run(file, tell) {
    if (!("VideoDecoder" in self && "VideoEncoder" in self)) {
      throw new Error("This browser has no WebCodecs, which videos need; take a newer one, or https in place of http.");
    }
    tell("Waiting for the one before it");
    const before = last;
    let release;
    last = new Promise((resolve) => (release = resolve));
    try {
      await before;
      return this.removed ? undefined : await this.#convert(file, tell);
    } catch (error) {
      this.conversion = undefined; // it has cancelled itself
      await this.result?.remove();
      if (this.removed) return undefined;
      throw error;
    } finally {
      this.device?.close();
      this.input?.dispose();
      release();
    }
  }

  /** Cancel it, or forget its result. */
  remove() {
    this.removed = true;
    this.conversion?.cancel();
    if (!this.url) return;
    URL.revokeObjectURL(this.url);
    this.result.remove();
  }

  async #convert(file, tell) {
    tell("Opening");
    const media = await import(MEDIABUNNY);
    const input = (this.input = new media.Input({ source: new media.BlobSource(file), formats: media.ALL_FORMATS }));
    await check(input);
    const webm = [media.WEBM, media.MATROSKA].includes(await input.getFormat());
    const [suffix, format] = webm ? ["webm", new media.WebMOutputFormat()] : ["mp4", new media.Mp4OutputFormat()];
    this.device = new Device(this.picked);
    await this.device.engine;
    this.result = await openResult(media);
    const output = new media.Output({ format, target: this.result.target });
    let frames = 0;
    const process = async (sample) => {
      this.result.check();
      frames += 1;
      return this.#translated(sample);
    };
    const video = { process, forceTranscode: true, allowTransformationMetadata: false };
    this.conversion = await media.Conversion.init({ input, output, video, showWarnings: false });
    this.#throwIfRemoved();
    const lost = this.conversion.discardedTracks.filter(({ track: { type } }) => type === "audio");
    if (!this.conversion.isValid) throw new Error("This browser has no encoder for the result; choose another browser.");
    this.conversion.onProgress = progressOf(tell, () => frames);
    await this.conversion.execute();
    const blob = await this.result.finish(`video/${suffix}`);
    this.#throwIfRemoved();
    this.url = URL.createObjectURL(blob);
    const note = lost.length ? `Without its sound: ${suffix.toUpperCase()} cannot hold it here.` : "";
    return { frames, bytes: blob.size, url: this.url, suffix, note };
  }

  #throwIfRemoved() {
    if (this.removed) throw new Error("it was removed meanwhile"); // which `run` hears, and nobody else
  }

  /** Translate a frame, and draw it at the frame's own size. */
  async #translated(sample) {
    if (this.removed) return null;
    const { displayWidth: width, displayHeight: height } = sample;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    sample.draw(context, 0, 0, width, height);
    const { bitmap } = await this.device.translate(await createImageBitmap(canvas), this.picked.size);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    return canvas;
  }
}

/** Throw a sentence where there is no video, or none that this browser decodes. */
async function check(input) {
  const track = await input.getPrimaryVideoTrack().catch(() => undefined);
  if (!track) throw new Error("This is no video that can be read here; take MP4, MOV, MKV or WebM.");
  if (!(await track.canDecode())) throw new Error(`This browser cannot decode its codec (${track.codec ?? "unknown"}).`);
}

function progressOf(tell, frames) {
  const began = performance.now();
  return (part) => {
    const left = Math.round(((performance.now() - began) / 1000) * (1 / Math.max(part, 1e-6) - 1));
    tell(`Translating ${Math.floor(100 * part)} %${frames() > 10 ? `, ${left} s left` : ""}`, part);
  };
}
