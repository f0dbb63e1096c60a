// The translator of this page is its server. A page that `cyclegan export --to web` writes has another file in this place.

import { checked } from "./server.js";

export { Live } from "./server_live.js";
export { VideoJob } from "./server_video.js";

export const words = {
  camera: "Frames go to this server only, and are not kept.",
  video: "MP4, MOV, MKV or WebM. Several wait for one another.",
};

/** Return what the server offers: its models, the usual size, its limits, and whether it shows a stream. */
export async function connect() {
  const offer = await (await checked(await fetch("/v1/models"))).json();
  for (const model of offer.models) model.title = `${model.engine} on ${model.device}, ${model.precision}`;
  return offer;
}

/** Translate a picture's file; `engine` are the milliseconds of the model alone. */
export async function translatePicture(file, { model, size }, signal) {
  const request = { method: "POST", body: file, signal, headers: { "Content-Type": "image/*" } };
  const answer = await checked(await fetch(`/v1/translate?${new URLSearchParams({ model, size })}`, request));
  const translated = await answer.blob();
  const [before, after] = await Promise.all([createImageBitmap(file), createImageBitmap(translated)]);
  return { before, after, translated, engine: Number(answer.headers.get("X-Engine-Milliseconds")) };
}
