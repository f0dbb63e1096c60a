// A model in ONNX Runtime Web: fetched, checked, opened and run. Everything here happens in a worker.

const root = new URL("../", import.meta.url);

/** What hinders an engine before anything is fetched, such as a browser without WebGPU. */
export class Unavailable extends Error {}

/** Open a model; `tell(what, part)` hears how much has been fetched. `found` says what it runs on. */
export async function openSession({ engine, choosy, model, runtime, mostThreads }, tell) {
  const { precision, place } = engine === "webgpu" ? await webgpu(model, choosy) : wasm(model, mostThreads);
  const file = model.files[precision];
  const ort = await import(new URL(runtime.module, root));
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = threads(mostThreads);
  ort.env.wasm.wasmPaths = { mjs: new URL(runtime.factory, root).href };
  ort.env.wasm.wasmBinary = await unpacked(await fetchFile(runtime.binary, (part) => tell("the engine", part)));
  const bytes = await fetchFile(file, (part) => tell("the model", part));
  const session = await ort.InferenceSession.create(bytes, { executionProviders: [engine], logSeverityLevel: 3 });
  return { session, ort, found: { engine, precision, place } };
}

/** Run uint8 [N, H, W, C] through a session; returns uint8 of the same N, H, W. */
export async function infer({ session, ort }, data, shape) {
  const input = new ort.Tensor("uint8", data, shape);
  const { [session.outputNames[0]]: output } = await session.run({ [session.inputNames[0]]: input });
  const values = await output.getData();
  const result = { data: new Uint8Array(values), shape: [...output.dims] };
  input.dispose();
  output.dispose();
  return result;
}

function threads(most) {
  return self.crossOriginIsolated ? Math.min(most, navigator.hardwareConcurrency || 1) : 1;
}

/** The processor: half the bytes to fetch, computed in FP32 all the same. */
function wasm(model, mostThreads) {
  const count = threads(mostThreads);
  const place = count > 1 ? `${count} threads` : self.crossOriginIsolated ? "1 thread" : "1 thread, page not isolated";
  return { precision: model.files.fp16 ? "fp16" : "fp32", place };
}

/** The graphics processor; `choosy` passes one by that is emulated. */
async function webgpu(model, choosy) {
  if (!navigator.gpu) throw new Unavailable("this browser does not have it");
  if (!WebAssembly.Suspending) throw new Unavailable("this browser lacks WebAssembly.Suspending, which it needs");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Unavailable("no adapter answers");
  const { vendor, architecture, isFallbackAdapter, description } = adapter.info;
  const emulated = isFallbackAdapter || /swiftshader/i.test(`${architecture} ${description}`);
  if (choosy && emulated) throw new Unavailable("its adapter is emulated");
  const precision = adapter.features.has("shader-f16") && model.files.fp16 ? "fp16" : "fp32";
  if (!model.files[precision]) throw new Unavailable("its adapter lacks shader-f16, and this model has no FP32 file");
  return { precision, place: [vendor, architecture].filter(Boolean).join(" ") || "adapter without a name" };
}

/** Fetch a file and hold it against its size and, where the browser can, its checksum; once more past every cache. */
async function fetchFile(file, tell) {
  const first = await download(file, "default", tell);
  if (await whole(first, file)) return first;
  const second = await download(file, "reload", tell);
  if (await whole(second, file)) return second;
  throw new Error(`${file.path} is cut or changed: ${second.length} of ${file.bytes} bytes; upload the folder again.`);
}

async function download({ path, bytes }, cache, tell) {
  const address = new URL(path.split("/").map(encodeURIComponent).join("/"), root); // a run may be called "a #1"
  const answer = await fetch(address, { cache }).catch(() => {
    throw new Error(`${path} cannot be reached, and is not stored for use without a connection.`);
  });
  if (!answer.ok) throw new Error(`${path} is missing at the host (${answer.status}); upload the whole folder.`);
  const parts = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    tell(Math.min(1, length / bytes));
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

async function whole(data, { bytes, sha256, unpacked_bytes: unpackedBytes }) {
  if (unpackedBytes && data.length === unpackedBytes) return true; // a host that unpacks .gz on the way
  if (data.length !== bytes) return false;
  if (!self.crypto?.subtle) return true; // plain http
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

/** Unpack gzip, unless the host has done so. */
async function unpacked(data) {
  if (data[0] !== 0x1f || data[1] !== 0x8b) return data.buffer;
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
