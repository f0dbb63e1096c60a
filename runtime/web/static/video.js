// Videos: uploaded, queued at the server, and fetched when they are done.

import { dropOn } from "./drop.js";
import { checked, choice, say } from "./server.js";

const PERIOD = 700; // milliseconds between two questions how far it is

export class Videos {
  constructor(stage, { video_bytes: mostBytes }) {
    this.mostBytes = mostBytes;
    this.list = document.getElementById("jobs");
    const input = document.getElementById("video-file");
    dropOn(stage, (files) => this.#take(files));
    this.jobs = [];
    addEventListener("pagehide", ({ persisted }) => {
      if (!persisted) for (const job of this.jobs) job.remove(); // nobody else knows where the results are
    });
    document.getElementById("video-choose").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.#take(input.files);
      input.value = "";
    });
  }

  #take(files) {
    for (const file of files) {
      if (file.size > this.mostBytes) {
        say(`${file.name} is larger than the ${Math.floor(this.mostBytes / 2 ** 20)} MB that the server takes.`, true);
      } else {
        const job = new Job(file);
        this.jobs.push(job);
        this.list.prepend(job.card);
      }
    }
  }
}

class Job {
  constructor(file) {
    this.name = file.name;
    this.card = document.getElementById("job").content.cloneNode(true).firstElementChild;
    this.find = (selector) => this.card.querySelector(selector);
    this.find("strong").textContent = file.name;
    this.find("[data-action=remove]").addEventListener("click", () => this.remove());
    this.#run(file);
  }

  async #run(file) {
    try {
      this.#follow(await this.#upload(file));
    } catch (error) {
      this.#fail(error.message);
    }
  }

  /** Send the file; fetch cannot tell how far it is, so this is the older way. */
  #upload(file) {
    const request = (this.request = new XMLHttpRequest());
    request.open("POST", `/v1/videos?${choice()}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      this.#tell(`Uploading ${Math.floor((100 * loaded) / total)} %`, loaded / total);
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

  async #follow(told) {
    this.url = `/v1/videos/${told.id}`;
    const began = performance.now();
    while (!this.removed && ["queued", "running"].includes(told.state)) {
      if (told.state === "queued") this.#tell(`Waiting; ${told.ahead} before it`);
      else this.#tell(progress(told, performance.now() - began), told.total ? told.frames / told.total : undefined);
      await new Promise((resolve) => setTimeout(resolve, PERIOD));
      if (!this.removed) told = await (await checked(await fetch(this.url))).json();
    }
    if (this.removed) return;
    if (told.state === "done") this.#done(told);
    else this.#fail(told.detail ?? "It was cancelled.");
  }

  #done(told) {
    say(`${this.name} is translated.`);
    this.#tell(`Done: ${told.frames} frames, ${(told.bytes / 2 ** 20).toFixed(1)} MB`, 1);
    this.find("progress").hidden = true;
    const link = this.find("[data-action=download]");
    link.href = `${this.url}/result`;
    link.download = `${this.name.replace(/\.\w+$/, "")}-translated.mp4`;
    link.hidden = false;
    this.find("[data-action=remove]").textContent = "Remove";
    const video = this.find("video");
    video.addEventListener("loadeddata", () => (video.hidden = false)); // not every codec plays in every browser
    video.src = link.href;
  }

  #fail(sentence) {
    if (this.removed) return;
    this.card.classList.add("failed");
    this.find("progress").hidden = true;
    this.find("[data-action=remove]").textContent = "Remove";
    this.#tell(sentence);
    say(`${this.name}: ${sentence}`, true);
  }

  /** Cancel it, or delete its result. */
  remove() {
    if (this.removed) return;
    this.removed = true;
    this.request?.abort();
    if (this.url) fetch(this.url, { method: "DELETE", keepalive: true }).catch(() => {});
    this.card.remove();
  }

  #tell(sentence, part) {
    this.find(".job-state").textContent = sentence;
    const bar = this.find("progress");
    part === undefined ? bar.removeAttribute("value") : (bar.value = part);
  }
}

function progress({ frames, total }, milliseconds) {
  if (!total) return `${frames} frames`;
  const left = Math.round(((milliseconds / 1000) * (total - frames)) / Math.max(frames, 1));
  return `Translating ${Math.floor((100 * frames) / total)} %${frames > 10 ? `, ${left} s left` : ""}`;
}
