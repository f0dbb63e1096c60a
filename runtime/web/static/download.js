// What the page gives to keep.

/** Offer a blob as a file. */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Return now, as it can stand in a file's name. */
export const stamp = () => new Date().toISOString().slice(0, 19).replaceAll(":", "-");

/** Name a translation after its original. */
export const translatedName = (name, suffix) => `${name.replace(/\.\w+$/, "") || "picture"}-translated.${suffix}`;
