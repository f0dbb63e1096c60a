// One picture: dropped, pasted or chosen; compared with its translation, and downloaded.

import { choice, onChoice } from "./choices.js";
import { Compare } from "./compare.js";
import { translatedName } from "./download.js";
import { dropOn } from "./drop.js";
import { inMilliseconds } from "./figures.js";
import { say } from "./status.js";

const element = (name) => document.getElementById(`picture-${name}`);

export class Picture {
  /** `translate` is the translator's: of a file, a choice and a signal that ends it. */
  constructor(stage, translate) {
    this.stage = stage;
    this.translate = translate;
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
    onChoice(() => {
      this.stale = Boolean(this.file);
      this.shown();
    });
  }

  /** Translate anew what is seen, if something else was chosen since. */
  shown() {
    if (this.stale && this.stage.offsetParent) this.#translate();
  }

  #take(file) {
    if (!file) return;
    this.file = file;
    this.#translate();
  }

  async #translate() {
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    this.stale = false;
    const { file } = this;
    this.stage.classList.add("busy");
    say("Translating …");
    try {
      const sent = performance.now();
      const { before, after, translated, engine, trouble } = await this.translate(file, choice(), asked.signal);
      const milliseconds = performance.now() - sent;
      if (asked.signal.aborted) return;
      this.compare.show(before, after);
      this.#offer(translated, file.name);
      element("figures").hidden = element("tools").hidden = false;
      this.#figure("size", `${after.width} × ${after.height}`);
      this.#figure("engine", inMilliseconds(engine));
      this.#figure("latency", inMilliseconds(milliseconds));
      say(`Translated. Drag the split to compare.${trouble ? ` ${trouble}.` : ""}`, Boolean(trouble));
    } catch (error) {
      if (!asked.signal.aborted) say(error.message, true);
    } finally {
      if (asked === this.asked) this.stage.classList.remove("busy");
    }
  }

  #offer(blob, name) {
    const link = element("download");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
    link.download = translatedName(name, blob.type.split("/")[1]);
  }

  #figure(name, text) {
    element("figures").querySelector(`[data-figure=${name}]`).textContent = text;
  }
}
