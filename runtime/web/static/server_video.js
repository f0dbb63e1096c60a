// One video at the server: uploaded, queued, and fetched when it is done.

import { checked } from "./server.js";

const PERIOD = 700; // milliseconds between two questions how far it is
const AT_ONCE = 2; // videos of this page at the server: one is translated, the next is there already

let underWay = 0;
const waiting = [];

function enter() {
  if (underWay === AT_ONCE) return new Promise((resolve) => waiting.push(resolve));
  underWay += 1;
}

function leave() {
  const next = waiting.shift();
  next ? next() : (underWay -= 1);
}

export class VideoJob {
  constructor({ model, size }) {
    this.address = `/v1/videos?${new URLSearchParams({ model, size })}`;
  }

  /** Translate `file`; `tell(sentence, part)` hears how far it is. Returns undefined once it was removed. */
  async run(file, tell) {
    tell("Waiting for the one before it");
    await enter();
    try {
      return this.removed ? undefined : await this.#translate(file, tell);
    } finally {
      leave();
    }
  }

  async #translate(file, tell) {
    let told = await this.#upload(file, tell);
    this.url = `/v1/videos/${told.id}`;
    const began = performance.now();
    while (!this.removed && ["queued", "running"].includes(told.state)) {
      if (told.state === "queued") tell(`Waiting; ${told.ahead} before it`);
      else tell(progress(told, performance.now() - began), told.total ? told.frames / told.total : undefined);
      await new Promise((resolve) => setTimeout(resolve, PERIOD));
      if (!this.removed) told = await (await checked(await fetch(this.url))).json();
    }
    if (this.removed) return undefined;
    if (told.state !== "done") throw new Error(told.detail ?? "It was cancelled.");
    return { frames: told.frames, bytes: told.bytes, url: `${this.url}/result`, suffix: "mp4" };
  }

  /** Cancel it, or delete its result. */
  remove() {
    this.removed = true;
    this.request?.abort();
    if (this.url) fetch(this.url, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  /** Send the file; fetch cannot tell how far it is, so this is the older way. */
  #upload(file, tell) {
    const request = (this.request = new XMLHttpRequest());
    request.open("POST", this.address);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      tell(`Uploading ${Math.floor((100 * loaded) / total)} %`, loaded / total);
    });
    return new Promise((resolve, reject) => {
      request.addEventListener("load", () => {
        if (request.status === 202) resolve(request.response);
        else reject(new Error(request.response?.detail ?? `The server answered ${request.status}.`));
      });
      request.addEventListener("error", () => reject(new Error("The upload was cut off.")));
      request.send(file);
    });
  }
}

function progress({ frames, total }, milliseconds) {
  if (!total) return `${frames} frames`;
  const left = Math.round(((milliseconds / 1000) * (total - frames)) / Math.max(frames, 1));
  return `Translating ${Math.floor((100 * frames) / total)} %${frames > 10 ? `, ${left} s left` : ""}`;
}
