// The page: tabs over one translator, which is a server or, in a page that was exported, this device.

import { Camera } from "./camera.js";
import { fillChoices } from "./choices.js";
import { Picture } from "./picture.js";
import { say } from "./status.js";
import { tabsWith } from "./tabs.js";
import * as translator from "./translator.js";
import { Videos } from "./video.js";

const stage = (name) => document.querySelector(`#${name} .stage`);

let camera, picture, stream;

const select = tabsWith((name) => {
  say("");
  if (name !== "camera") camera?.stop();
  if (name === "picture") picture?.shown();
  name === "stream" ? stream?.start() : stream?.stop();
});

// A file that misses the stage must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("drop", () => {
  if (!camera) say("The page is still starting; drop it again in a moment.", true);
});

say("Starting …");
for (const [name, words] of Object.entries(translator.words)) {
  document.querySelector(`[data-words=${name}]`).textContent = words;
}

try {
  const offer = await translator.connect();
  say("");
  fillChoices(offer);
  camera = new Camera(stage("camera"), translator.Live);
  picture = new Picture(stage("picture"), translator.translatePicture);
  if (offer.videos === false) document.getElementById("tab-video").hidden = true;
  else new Videos(stage("video"), translator.VideoJob, offer.limits?.video_bytes);
  if (offer.stream) {
    const { Stream } = await import("./stream.js");
    stream = new Stream(stage("stream"));
    select("stream");
  }
  for (const button of document.querySelectorAll(".primary:disabled")) button.disabled = false;
  document.body.dataset.ready = "";
} catch (error) {
  say(error.message, true);
}
