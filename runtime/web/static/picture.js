// One picture: dropped, pasted or chosen; compared with its translation, and downloaded.

import { Compare } from "./compare.js";
import { dropOn } from "./drop.js";
import { inMilliseconds } from "./figures.js";
import { checked, choice, onChoice, say } from "./server.js";

const element = (name) => document.getElementById(`picture-${name}`);

export class Picture {
  constructor(stage) {
    this.stage = stage;
    this.compare = new Compare(stage);
    const input = element("file");
    dropOn(stage, (files) => this.#take(files[0]));
    for (const name of ["choose", "again"]) element(name).addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.#take(input.files[0]);
      input.value = "";
    });
    document.addEventListener("paste", ({ clipboardData }) => {
      const file = [...clipboardData.files].find(({ type }) => type.startsWith("image/"));
      if (file && stage.offsetParent) this.#take(file);
    });
    onChoice(() => this.file && this.#translate());
  }

  #take(file) {
    if (!file) return;
    this.file = file;
    this.#translate();
  }

  async #translate() {
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    const { file } = this;
    this.stage.classList.add("busy");
    say("Translating …");
    try {
      const sent = performance.now();
      const request = { method: "POST", body: file, signal: asked.signal, headers: { "Content-Type": "image/*" } };
      const answer = await checked(await fetch(`/v1/translate?${choice()}`, request));
      const translated = await answer.blob();
      const milliseconds = performance.now() - sent;
      const [before, after] = await Promise.all([createImageBitmap(file), createImageBitmap(translated)]);
      if (asked.signal.aborted) return;
      this.compare.show(before, after);
      this.#offer(translated, file.name);
      element("figures").hidden = element("tools").hidden = false;
      this.#figure("size", `${after.width} × ${after.height}`);
      this.#figure("engine", inMilliseconds(Number(answer.headers.get("X-Engine-Milliseconds"))));
      this.#figure("latency", inMilliseconds(milliseconds));
      say("Translated. Drag the split to compare.");
    } catch (error) {
      if (error.name !== "AbortError") say(error.message, true);
    } finally {
      if (asked === this.asked) this.stage.classList.remove("busy");
    }
  }

  #offer(blob, name) {
    const link = element("download");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.\w+$/, "") || "picture"}-translated.${blob.type.split("/")[1]}`;
  }

  #figure(name, text) {
    element("figures").querySelector(`[data-figure=${name}]`).textContent = text;
  }
}
