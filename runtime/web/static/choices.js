// What is translated with: the model, the size it works at and, where the page runs the model itself, the engine.

const chosen = new EventTarget();
const [model, size, engine] = ["model", "size", "engine"].map((name) => document.getElementById(name));

const SIZES = [128, 192, 256, 384, 512, 768, 1024];

/** Fill the choices with what a translator offers. */
export function fillChoices(offer) {
  for (const { name, direction, title } of offer.models) {
    const option = new Option(direction ? `${name} (${direction})` : name, name);
    option.title = title;
    model.add(option);
  }
  const sizes = [...new Set([...SIZES, offer.size])].sort((a, b) => a - b);
  for (const side of sizes) size.add(new Option(`${side} px`, side, side === offer.size, side === offer.size));
  for (const { value, label } of offer.engines ?? []) engine.add(new Option(label, value));
  engine.parentElement.hidden = !offer.engines;

  const tell = () => chosen.dispatchEvent(new Event("change"));
  const pin = () => {
    const pinned = offer.models[model.selectedIndex].size;
    size.disabled = Boolean(pinned);
    size.title = pinned ? `This model works at ${pinned[1]}×${pinned[0]}` : "The longer side that the model works at";
    tell();
  };
  model.disabled = false;
  model.addEventListener("change", pin);
  for (const select of [size, engine]) select.addEventListener("change", tell);
  pin();
}

/** Show in the choices what an engine turned out to be, for as long as it is the one that was chosen. */
export function showEngine(chosenValue, label, title) {
  for (const option of engine.options) {
    option.dataset.label ??= option.textContent;
    option.textContent = option.value === chosenValue ? label : option.dataset.label;
  }
  engine.title = title;
}

/** Call `listener` whenever something else is chosen. */
export const onChoice = (listener) => chosen.addEventListener("change", listener);

/** Return the model's name, the longer side in pixels, and the engine. */
export const choice = () => ({ model: model.value, size: Number(size.value), engine: engine.value });
