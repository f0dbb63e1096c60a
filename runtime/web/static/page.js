// The page: four tabs over one server.

import { Camera } from "./camera.js";
import { Picture } from "./picture.js";
import { connect, say } from "./server.js";
import { Stream } from "./stream.js";
import { Videos } from "./video.js";

const stage = (name) => document.querySelector(`#${name} .stage`);
const tabs = [...document.querySelectorAll("[role=tab]")];

const camera = new Camera(stage("camera"));
const stream = new Stream(stage("stream"));
new Picture(stage("picture"));

function select(tab) {
  for (const other of tabs) {
    const selected = other === tab;
    other.setAttribute("aria-selected", selected);
    other.tabIndex = selected ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !selected;
  }
  say("");
  if (tab.id !== "tab-camera") camera.stop();
  tab.id === "tab-stream" ? stream.start() : stream.stop();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const shown = tabs.filter((other) => !other.hidden);
    const next = shown[(shown.indexOf(tab) + step + shown.length) % shown.length];
    select(next);
    next.focus();
  });
}

// A file that misses the stage must not replace the page.
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());

try {
  const offer = await connect();
  new Videos(stage("video"), offer.limits);
  if (offer.stream) {
    const tab = document.getElementById("tab-stream");
    tab.hidden = false;
    select(tab);
  }
  document.body.dataset.ready = "";
} catch (error) {
  say(error.message, true);
}
