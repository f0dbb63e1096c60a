// An engine on this device: a worker that holds one model. Where one fails, the next is tried, and why is told.

const LABELS = { webgpu: "WebGPU", wasm: "WebAssembly" };

/** What can be chosen; the first is the default. */
export const CHOICES = [
  { value: "auto", label: "Automatic" },
  ...Object.entries(LABELS).map(([value, label]) => ({ value, label })),
];

export class Engine {
  /** Open a model of the manifest in the wanted engine, or where that fails in WebAssembly.
   *
   * `tell(what, part)` hears how much has been fetched. `passedOver` says of the engine what engines were not taken, and
   * `failed` whether any of them broke, or had been named.
   */
  static async open(manifest, model, wanted, tell = () => {}, mostThreads = 8) {
    const passedOver = [];
    let failed = false;
    for (const name of wanted === "wasm" ? ["wasm"] : ["webgpu", "wasm"]) {
      const engine = new Engine(tell);
      try {
        const request = { engine: name, choosy: wanted === "auto", model, runtime: manifest.runtimes[name], mostThreads };
        const found = await engine.run("open", request);
        return Object.assign(engine, found, { passedOver: passedOver.join("; "), failed });
      } catch (error) {
        engine.close();
        if (name === "wasm") throw error;
        passedOver.push(`${LABELS[name]}: ${error.message}`);
        failed = wanted === name || !error.unavailable;
      }
    }
    return undefined; // not reached: the last one opens or throws
  }

  constructor(tell) {
    this.requests = new Map();
    this.number = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => (data.progress ? tell(data.progress.what, data.progress.part) : this.#settle(data)));
    this.worker.addEventListener("error", ({ message }) => this.#end(message || "the worker could not be started"));
  }

  /** Let the worker do a task. */
  run(task, request, transfer = []) {
    const id = (this.number += 1);
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new Error(this.closed));
      this.requests.set(id, { resolve, reject });
      this.worker.postMessage({ id, task, request }, transfer);
    });
  }

  get label() {
    return LABELS[this.engine];
  }

  /** Say what it is, such as "WebAssembly, FP16 file, 2 threads". */
  toString() {
    return `${LABELS[this.engine]}, ${this.precision.toUpperCase()} file, ${this.place}`;
  }

  close() {
    this.#end("the engine was closed, because another was chosen");
  }

  #end(sentence) {
    this.closed ??= sentence;
    this.worker.terminate();
    for (const { reject } of this.requests.values()) reject(new Error(this.closed));
    this.requests.clear();
  }

  #settle({ id, result, error, unavailable }) {
    const request = this.requests.get(id);
    this.requests.delete(id);
    if (!request) return; // it was closed meanwhile
    if (error === undefined) request.resolve(result);
    else request.reject(Object.assign(new Error(error), { unavailable }));
  }
}
