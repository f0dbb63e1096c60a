// Before on the left, after on the right, on one canvas: what is seen is what a snapshot or a recording holds.

export class Compare {
  /** Take over a stage; `split` is the part of the width, 0 to 1, that shows the picture before. */
  constructor(stage) {
    this.stage = stage;
    stage.append(document.getElementById("compare-controls").content.cloneNode(true));
    this.canvas = stage.querySelector("canvas");
    this.range = stage.querySelector("input[type=range]");
    this.context = this.canvas.getContext("2d");
    this.range.addEventListener("input", () => this.#draw());
    this.#draw();
  }

  get split() {
    return this.range.value / 100;
  }

  /** Show two pictures of one size; they are closed when the next ones come. */
  show(before, after) {
    for (const picture of this.pictures ?? []) picture.close();
    this.pictures = [before, after];
    const { width, height } = after;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.stage.style.setProperty("--aspect", width / height);
      this.stage.style.setProperty("--pixels", width);
    }
    this.stage.classList.add("shown");
    this.#draw();
  }

  /** Go back to the invitation. */
  clear() {
    for (const picture of this.pictures ?? []) picture.close();
    this.pictures = undefined;
    this.stage.classList.remove("shown");
  }

  /** Return what is seen, as PNG. */
  snapshot() {
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  #draw() {
    this.stage.style.setProperty("--split", `${this.range.value}%`);
    this.range.setAttribute("aria-valuetext", `${this.range.value} percent before`);
    if (!this.pictures) return;
    const [before, after] = this.pictures;
    const { width, height } = this.canvas;
    const edge = Math.round(this.split * width);
    this.context.drawImage(after, 0, 0);
    if (edge > 0) {
      const scale = before.width / width;
      this.context.drawImage(before, 0, 0, edge * scale, before.height, 0, 0, edge, height);
    }
  }
}
