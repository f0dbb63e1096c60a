"""What visitors do in a page: that of the server and the exported one share their components, and so these steps."""

from pathlib import Path

from playwright.sync_api import Page, expect

# Of a copy: a canvas that is read often would be moved out of the graphics memory.
COLOUR = """([selector, across]) => {
  const canvas = document.querySelector(selector), copy = document.createElement("canvas");
  Object.assign(copy, { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return [...context.getImageData(canvas.width * across, canvas.height / 2, 1, 1).data].slice(0, 3);
}"""
BRING = """([bytes, way]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
  const event = way === "drop"
    ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
  document.querySelector("#picture .stage").dispatchEvent(event);
}"""
NAMELESS = """() => [
    ...document.querySelectorAll("button, select, input:not([type=file]), a[href], progress, [role=img]"),
  ]
  .filter((element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length))
  .map((element) => element.outerHTML)"""


def colour(page: Page, tab: str, across: float) -> list[int]:
    """Return the colour of a tab's canvas at a part of its width, at half its height."""
    return page.evaluate(COLOUR, [f"#{tab} canvas", across])


def set_split(page: Page, tab: str, percent: int) -> None:
    """Show so much of the picture before."""
    page.locator(f"#{tab} input[type=range]").fill(str(percent))


def inverted(one: list[int], other: list[int]) -> bool:
    """Whether two colours are each other's negative."""
    return max(abs(255 - a - b) for a, b in zip(one, other, strict=True)) < 12


def shows_inverted(page: Page, tab: str) -> bool:
    """Whether the picture after is the one before, inverted."""
    set_split(page, tab, 100)
    before = colour(page, tab, 0.1)
    set_split(page, tab, 0)
    return inverted(before, colour(page, tab, 0.1))


def start_camera(page: Page) -> None:
    """Start the camera, and wait for its first picture."""
    page.click("#camera-start")
    expect(page.locator("#camera .stage.shown")).to_be_visible()


def choose_picture(page: Page, data: bytes, name: str = "my cat.png") -> None:
    """Choose a PNG in the dialog."""
    page.click("#tab-picture")
    page.set_input_files("#picture-file", {"name": name, "mimeType": "image/png", "buffer": data})


def bring_picture(page: Page, data: bytes, way: str) -> None:
    """Drop or paste a PNG."""
    page.click("#tab-picture")
    page.evaluate(BRING, [list(data), way])


def download(page: Page, selector: str, folder: Path) -> Path:
    """Click what downloads a file; returns where it lies, under the name that the page gave it."""
    with page.expect_download() as started:
        page.click(selector)
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path


def nameless(page: Page) -> list[str]:
    """Return what can be used and has no name to be read aloud."""
    return page.evaluate(NAMELESS)


def overflows(page: Page, widths: tuple[int, ...] = (320, 390, 1280)) -> list[tuple[int, str]]:
    """Return the widths and tabs at which the page is wider than the screen."""
    wider = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        for tab in ("picture", "video", "camera"):
            page.click(f"#tab-{tab}")
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wider.append((width, tab))
    return wider
