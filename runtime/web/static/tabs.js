// Tabs by mouse and keyboard.

const tabs = [...document.querySelectorAll("[role=tab]")];

/** Call `shown` with the name of a tab whenever it is selected; return what selects one by its name. */
export function tabsWith(shown) {
  const select = (tab) => {
    for (const other of tabs) {
      const selected = other === tab;
      other.setAttribute("aria-selected", selected);
      other.tabIndex = selected ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !selected;
    }
    shown(tab.getAttribute("aria-controls"));
  };

  for (const tab of tabs) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const visible = tabs.filter((other) => !other.hidden);
      const next = visible[(visible.indexOf(tab) + step + visible.length) % visible.length];
      select(next);
      next.focus();
    });
  }

  return (name) => {
    const tab = document.getElementById(`tab-${name}`);
    tab.hidden = false;
    select(tab);
  };
}
