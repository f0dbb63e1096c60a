// The verification's page, which is no part of the folder: takes batches from `browser.py`, gives back what the page's own
// engine makes of them.

import { Engine } from "./engine.js";

const wanted = new URLSearchParams(location.search);

const report = (body, headers = {}) => fetch("/verification/answer", { method: "POST", body, headers });

try {
  const manifest = await (await fetch("/models.json")).json();
  const model = manifest.models.find(({ name }) => name === wanted.get("model"));
  model.files = { [wanted.get("precision")]: model.files[wanted.get("precision")] };
  const engine = await Engine.open(manifest, model, wanted.get("engine"), () => {}, Number(wanted.get("threads")));
  if (engine.engine !== wanted.get("engine")) throw new Error(engine.passedOver);
  const [browser] = navigator.userAgent.match(/\w+\/[\d.]+(?= Safari)/) ?? [navigator.userAgent];
  await report(`${browser}, ${engine.place}`);
  for (;;) {
    const next = await fetch("/verification/next");
    if (next.status === 204) continue; // nothing to do yet
    const shape = next.headers.get("X-Shape").split(" ").map(Number);
    const result = await engine.run("infer", { data: new Uint8Array(await next.arrayBuffer()), shape });
    await report(result.data, { "X-Shape": result.shape.join(" ") });
  }
} catch (error) {
  await report(error.message, { "X-Failed": "yes" });
}
