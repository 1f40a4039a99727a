"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

// Colours: system, light, dark.
const themes = { auto: "as the system has them", light: "light", dark: "dark" };
function nextTheme() {
  const names = Object.keys(themes), root = document.documentElement;
  const name = names[(names.indexOf(root.dataset.theme) + 1) % names.length];
  root.dataset.theme = name;
  one("#theme").setAttribute("aria-label", `Colours: ${themes[name]}`);
}
one("#theme").onclick = nextTheme;
document.addEventListener("keydown", (event) => {
  if (event.key === "t" && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(input|select)$/i.test(event.target.tagName)) nextTheme();
});

// What stands behind a point, at once and where it can be read; titles stay for those who use no pointer.
const tip = Object.assign(document.createElement("div"), { id: "tip", hidden: true });
document.body.append(tip);
for (const shape of all(".chart circle")) {
  const title = shape.querySelector("title");
  shape.setAttribute("aria-label", title.textContent);
  title.remove();
  shape.onpointermove = (event) => {
    tip.textContent = shape.getAttribute("aria-label");
    tip.hidden = false;
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${event.clientY + 14}px`;
    shape.dispatchEvent(new CustomEvent("near", { bubbles: true }));
  };
  shape.onpointerleave = () => {
    tip.hidden = true;
    shape.dispatchEvent(new CustomEvent("far", { bubbles: true }));
  };
}

// Tables: a click on a column sorts by it, figures by value.
const valueOf = (cell) => {
  const text = cell.textContent.replace("−", "-").replaceAll(",", "");
  const number = parseFloat(text);
  return text === "∞" ? Infinity : Number.isNaN(number) ? null : number;
};
function sortBy(table, head, column) {
  const down = head.getAttribute("aria-sort") === "ascending", words = head.classList.contains("words");
  for (const other of all("th", table.tHead)) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = [...table.tBodies[0].rows].map((row) => [words ? row.cells[column].textContent : valueOf(row.cells[column]), row]);
  keyed.sort(([a], [b]) => (a === null) - (b === null) || (down ? -1 : 1) * (words ? a.localeCompare(b, "en", { numeric: true }) : a - b));
  table.tBodies[0].append(...keyed.map(([, row]) => row));
}
for (const table of all("table.figures")) {
  all("thead th", table).forEach((head, column) => { head.firstElementChild.onclick = () => sortBy(table, head, column); });
}
