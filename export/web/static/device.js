// What translates on this device: an engine for one choice, which WebAssembly replaces, aloud, where it breaks.

import { choice, onChoice, showEngine } from "./choices.js";
import { CHOICES, Engine } from "./engine.js";
import { say } from "./status.js";

let manifest, shared;

/** Fetch what the folder holds; returns what the page can choose. */
export async function readManifest() {
  const answer = await fetch("models.json").catch(() => ({ ok: false, status: "no connection" }));
  if (!answer.ok) throw new Error(`models.json is missing at the host (${answer.status}); upload the whole folder.`);
  manifest = await answer.json().catch(() => {
    throw new Error("models.json is damaged; upload the folder again.");
  });
  onChoice(() => deviceFor(choice())); // begin at once, before anybody needs it
  return {
    models: manifest.models.map(({ name, metadata }) => ({
      name,
      direction: name.includes(metadata.direction) ? undefined : metadata.direction,
      size: metadata.size,
      title: `${metadata.architecture}, made by cyclegan-edge ${metadata.producer.cyclegan_edge}`,
    })),
    size: manifest.models[0].usual,
    engines: CHOICES,
  };
}

/** Return the device that camera and pictures share; another choice replaces it. */
export function deviceFor(picked) {
  const key = `${picked.model} ${picked.engine}`;
  if (shared?.key !== key || shared.failed) {
    shared?.close();
    shared = new Device(picked);
    shared.key = key;
  }
  return shared;
}

export class Device {
  constructor({ model, engine }) {
    this.model = manifest.models.find(({ name }) => name === model);
    this.chosen = engine;
    this.engine = this.#open(engine);
  }

  /** Translate an ImageBitmap, which is used up, at most `longest` pixels long; `trouble` says once which engine failed. */
  async translate(bitmap, longest) {
    const opened = this.engine;
    const engine = await opened;
    const spare = engine.engine === "webgpu" ? await createImageBitmap(bitmap) : undefined;
    try {
      const result = await engine.run("translate", { bitmap, longest }, [bitmap]);
      spare?.close();
      const { trouble } = this;
      this.trouble = undefined;
      return { ...result, trouble };
    } catch (error) {
      if (!spare || this.closed) throw error;
      engine.close();
      const trouble = `WebGPU failed while it ran (${error.message}); WebAssembly took over`;
      if (this.engine === opened) this.engine = this.#open("wasm", trouble); // another picture may have met it too
      return this.translate(spare, longest);
    }
  }

  close() {
    this.closed = true;
    this.engine.then((engine) => engine.close(), () => {});
  }

  async #open(wanted, trouble) {
    let told;
    const tell = (what, part) => {
      const sentence = `Fetching ${what}: ${5 * Math.floor(20 * part)} %`; // in steps, for those who hear it read
      if (sentence !== told && !this.closed) say((told = sentence));
    };
    try {
      const engine = await Engine.open(manifest, this.model, wanted, tell);
      const why = [trouble, engine.passedOver].filter(Boolean).join("; ");
      if (!this.closed) {
        document.body.dataset.engine = engine;
        const before = this.chosen === "auto" ? "Automatic: " : this.chosen === engine.engine ? "" : "WebGPU failed: ";
        showEngine(this.chosen, `${before}${engine.label}`, engine);
        const failed = Boolean(trouble) || engine.failed;
        if (failed) this.trouble = why;
        say(`Runs on this device: ${engine}.${why ? ` ${why}.` : ""}`, failed);
      }
      return engine;
    } catch (error) {
      this.failed = true;
      if (!this.closed) say(error.message, true);
      throw error;
    }
  }
}
