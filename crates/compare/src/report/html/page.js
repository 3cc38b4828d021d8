"use strict";
// Tables sort: each header becomes a button. Rows without a value stay last, whichever the direction.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const number = head.dataset.kind === "number";
      const key = row => row.cells[column].dataset.sort;
      const order = (a, b) => number ? a - b : a.localeCompare(b, "en", { numeric: true });
      const rows = [...body.rows].sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return up ? order(x, y) : order(y, x);
      });
      body.append(...rows);
    });
  });
}

// The nearest point of a chart shows its values at once, also under a finger; without this script the browser shows them late.
const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);
for (const chart of document.querySelectorAll("figure .chart")) {
  const hits = [...chart.querySelectorAll(".hit")].map(hit => {
    const text = hit.querySelector("title").textContent;
    hit.querySelector("title").remove();
    return { x: hit.cx.baseVal.value, y: hit.cy.baseVal.value, hit, text };
  });
  if (hits.length === 0) continue;
  let shown = null;
  const show = event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let nearest = null, least = 30 * 30;
    for (const hit of hits) {
      const distance = (hit.x - at.x) ** 2 + (hit.y - at.y) ** 2;
      if (distance < least) [nearest, least] = [hit, distance];
    }
    if (shown !== null) shown.hit.classList.remove("near");
    shown = nearest;
    tip.hidden = nearest === null;
    if (nearest === null) return;
    nearest.hit.classList.add("near");
    tip.textContent = nearest.text;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const above = event.clientY - tip.offsetHeight - 12;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (above > 8 ? above : event.clientY + 18) + "px";
  };
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerdown", show);
  chart.addEventListener("pointerleave", () => {
    tip.hidden = true;
    if (shown !== null) shown.hit.classList.remove("near");
  });
}
