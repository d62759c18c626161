"use strict";
// Headings sort their table; the form filters the table of cells. Without script everything is there, unsorted.
const value = (row, column) => {
  const cell = row.cells[column];
  if (!cell || cell.colSpan > 1) return null;
  const data = cell.dataset.v;
  return data === undefined ? cell.textContent.trim().toLowerCase() : data === "" ? null : Number(data);
};
const compare = (a, b) => (a === b ? 0 : a === null || a === "" ? 1 : b === null || b === "" ? -1 : a < b ? -1 : 1);

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
      const missing = (key) => key === null || key === "";
      keyed.sort(([a], [b]) => (missing(a) || missing(b) || !down ? compare(a, b) : compare(b, a)));
      table.tBodies[0].append(...keyed.map(([, row]) => row));
    });
  });
}

const form = document.querySelector("form.filter");
const rows = [...document.querySelectorAll("#cell-table tbody tr")];
const texts = rows.map((row) => row.textContent.toLowerCase());
const filter = () => {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const { suite, status } = form.elements;
  let shown = 0;
  rows.forEach((row, i) => {
    const fits = words.every((word) => texts[i].includes(word)) &&
      (!suite.value || row.dataset.suite === suite.value) && (!status.value || row.dataset.status === status.value);
    row.hidden = !fits;
    shown += fits;
  });
  form.querySelector("output").textContent = `${shown} of ${rows.length} cells`;
};
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
filter();
