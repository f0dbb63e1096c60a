// What the server offers, and how it says no.

const chosen = new EventTarget();
const model = document.getElementById("model");
const size = document.getElementById("size");
const status = document.getElementById("status");

const SIZES = [128, 192, 256, 384, 512, 768, 1024];

/** Fill the two choices; return what the server told. */
export async function connect() {
  const offer = await (await checked(await fetch("/v1/models"))).json();
  for (const { name, direction, engine, device, precision } of offer.models) {
    const option = new Option(direction ? `${name} (${direction})` : name, name);
    option.title = `${engine} on ${device}, ${precision}`;
    model.add(option);
  }
  const sizes = [...new Set([...SIZES, offer.size])].sort((a, b) => a - b);
  for (const side of sizes) size.add(new Option(`${side} px`, side, side === offer.size, side === offer.size));
  const pin = () => {
    const pinned = offer.models[model.selectedIndex].size;
    size.disabled = Boolean(pinned);
    size.title = pinned ? `This model works at ${pinned[1]}×${pinned[0]}` : "The longer side that the model works at";
    chosen.dispatchEvent(new Event("change"));
  };
  model.disabled = false;
  model.addEventListener("change", pin);
  size.addEventListener("change", () => chosen.dispatchEvent(new Event("change")));
  pin();
  return offer;
}

/** Call `listener` whenever another model or size is chosen. */
export const onChoice = (listener) => chosen.addEventListener("change", listener);

export const chosenModel = () => model.value;
export const chosenSize = () => Number(size.value);
export const choice = () => new URLSearchParams({ model: model.value, size: size.value });

/** Return the answer, or throw the sentence with which the server refused. */
export async function checked(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401) location.assign("/");
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The server answered ${answer.status}.`);
}

/** Open a WebSocket of this server. */
export function open(path) {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}${path}`);
  socket.binaryType = "arraybuffer";
  let opened = false;
  socket.addEventListener("open", () => (opened = true));
  // A socket does not tell why it was denied; a request does, and leads to the sign-in where the session has ended.
  socket.addEventListener("close", () => opened || fetch("/v1/models").then(checked).catch(() => {}));
  return socket;
}

/** Show one sentence, read aloud by screen readers; an empty one takes it away. */
export function say(sentence, alert = false) {
  status.textContent = sentence;
  status.classList.toggle("alert", alert);
}

/** Offer a blob as a file. */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Return now, as it can stand in a file's name. */
export const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");
