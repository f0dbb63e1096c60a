// Files dropped on a stage.

/** Call `take` with the files that are dropped on `stage`. */
export function dropOn(stage, take) {
  stage.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  stage.addEventListener("dragleave", () => stage.classList.remove("over"));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    take(event.dataTransfer.files);
  });
}
