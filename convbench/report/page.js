"use strict";
// Headings sort their table, forms filter the cells, choose a chart and set limits. Without script all is there to read.
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
    heading.classList.toggle("n", table.tBodies[0].rows[0]?.cells[column]?.classList.contains("n") ?? false);
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

const form = document.querySelector("form.search");
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

// Of several charts of a section, the one that is chosen; print shows them all.
for (const chooser of document.querySelectorAll("form.choose")) {
  const figures = [...chooser.parentElement.querySelectorAll("figure")];
  const { chart } = chooser.elements;
  figures.forEach((figure, i) => chart.add(new Option(figure.dataset.words, i)));
  const choose = () => figures.forEach((figure, i) => { figure.hidden = i !== Number(chart.value); });
  chooser.hidden = figures.length < 2;
  chooser.addEventListener("input", choose);
  choose();
}

// The fastest contender of each front within two limits; its points stand in order, the winner first.
const limits = document.querySelector("form.constraint");
const constrain = () => {
  const limit = (name, unit) => (limits.elements[name].value === "" ? Infinity : Number(limits.elements[name].value) * unit);
  const error = limit("error", 1), workspace = limit("workspace", 2 ** 20);
  const fronts = [...document.querySelectorAll("#front-table tbody tr")];
  const costs = [];
  for (const row of fronts) {
    const points = [...row.querySelectorAll(".points span")];
    const keeps = (point) => Number(point.dataset.error) <= error && Number(point.dataset.workspace) <= workspace;
    const best = points.find(keeps);
    points.forEach((point) => { point.className = point === best ? "best" : keeps(point) ? "" : "out"; });
    const [name, time, err, bytes] = best ? [...best.children].map((part) => part.textContent) : ["none", "", "", ""];
    const cost = best ? Number(best.dataset.time) / Number(points[0].dataset.time) : null;
    if (best) costs.push(Math.log(cost));
    const data = best ? [best.dataset.time, cost, best.dataset.error, best.dataset.workspace] : ["", "", "", ""];
    row.cells[2].textContent = name;
    [time, best ? `${cost.toFixed(2)}×` : "", err, bytes].forEach((text, i) => {
      row.cells[3 + i].textContent = text;
      row.cells[3 + i].dataset.v = data[i];
    });
  }
  const mean = Math.exp(costs.reduce((sum, cost) => sum + cost, 0) / costs.length);
  limits.querySelector("output").textContent = `${costs.length} of ${fronts.length} problems can be solved` +
    (costs.length ? `, in ${mean.toFixed(2)}× the time without limits (geometric mean)` : "");
};
if (limits) {
  limits.addEventListener("input", constrain);
  limits.addEventListener("submit", (event) => event.preventDefault());
  constrain();
}
