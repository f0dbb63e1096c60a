// Videos, each with a card of its own; the translator does the work.

import { choice } from "./choices.js";
import { translatedName } from "./download.js";
import { dropOn } from "./drop.js";
import { say } from "./status.js";

export class Videos {
  constructor(stage, VideoJob, mostBytes = Infinity) {
    this.VideoJob = VideoJob;
    this.mostBytes = mostBytes;
    this.list = document.getElementById("jobs");
    const input = document.getElementById("video-file");
    dropOn(stage, (files) => this.#take(files));
    this.cards = [];
    addEventListener("pagehide", ({ persisted }) => {
      if (!persisted) for (const card of this.cards) card.remove(); // nobody else knows where the results are
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
        const card = new Card(file.name, new this.VideoJob(choice()));
        this.cards.push(card);
        this.list.prepend(card.element);
        card.run(file);
      }
    }
  }
}

class Card {
  constructor(name, job) {
    this.name = name;
    this.job = job;
    this.element = document.getElementById("job").content.cloneNode(true).firstElementChild;
    this.find = (selector) => this.element.querySelector(selector);
    this.find("strong").textContent = name;
    this.find("[data-action=remove]").addEventListener("click", () => this.remove());
  }

  async run(file) {
    try {
      const result = await this.job.run(file, (sentence, part) => this.#tell(sentence, part));
      if (result && !this.removed) this.#done(result);
    } catch (error) {
      this.#fail(error.message);
    }
  }

  /** Cancel it, or delete its result. */
  remove() {
    if (this.removed) return;
    this.removed = true;
    this.job.remove();
    this.element.remove();
  }

  #done({ frames, bytes, url, suffix, note }) {
    say(`${this.name} is translated.`);
    this.#tell(`Done: ${frames} frames, ${inBytes(bytes)}${note ? `. ${note}` : ""}`, 1);
    this.find("progress").hidden = true;
    const link = this.find("[data-action=download]");
    link.href = url;
    link.download = translatedName(this.name, suffix);
    link.hidden = false;
    this.find("[data-action=remove]").textContent = "Remove";
    const video = this.find("video");
    video.addEventListener("loadeddata", () => (video.hidden = false)); // not every codec plays in every browser
    video.src = url;
  }

  #fail(sentence) {
    if (this.removed) return;
    this.element.classList.add("failed");
    this.find("progress").hidden = true;
    this.find("[data-action=remove]").textContent = "Remove";
    this.#tell(sentence);
    say(`${this.name}: ${sentence}`, true);
  }

  #tell(sentence, part) {
    this.find(".job-state").textContent = sentence;
    const bar = this.find("progress");
    part === undefined ? bar.removeAttribute("value") : (bar.value = part);
  }
}

const inBytes = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
