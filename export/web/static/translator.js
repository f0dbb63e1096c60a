// The translator of this page is the device it runs on; the server's page has another file in this place.

import { deviceFor, readManifest } from "./device.js";
import { installOffline } from "./offline.js";

export { Live } from "./device_live.js";
export { VideoJob } from "./device_video.js";

const MOST_PIXELS = 100_000_000; // of a picture; above, canvases fail in silence

export const words = {
  camera: "Everything happens on this device: no frame leaves it.",
  video: "MP4, MOV, MKV or WebM, translated on this device. It stays here.",
};

/** Return what the folder offers: its models, the usual size and the engines. */
export async function connect() {
  await installOffline();
  return readManifest();
}

/** Translate a picture's file at the chosen size and bring it back to its own; `engine` are the model's milliseconds. */
export async function translatePicture(file, picked, signal) {
  const before = await createImageBitmap(file).catch(() => {
    throw new Error(`${file.name || "This"} is no picture that this browser reads; choose a PNG, JPEG or WebP.`);
  });
  const { width, height } = before;
  if (width * height > MOST_PIXELS) {
    throw new Error(`${width} × ${height} is too large; choose a picture of at most ${MOST_PIXELS / 1e6} megapixels.`);
  }
  const { bitmap, engine, trouble } = await deviceFor(picked).translate(await createImageBitmap(before), picked.size);
  signal.throwIfAborted();
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const translated = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!translated) throw new Error(`${width} × ${height} is too large for this browser; choose a smaller picture.`);
  return { before, after: await createImageBitmap(canvas), translated, engine, trouble };
}
