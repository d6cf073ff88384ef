// The gallery's keys and lightbox. Without this script a click opens the picture's file.
"use strict";
const [box, figure, shown, caption] = ["dialog", "figure", "img", "figcaption"].map((tag) => document.createElement(tag));
box.className = "lightbox";
figure.append(shown, caption);
box.append(figure);
// Of each row its links, and in their places the gaps that keep them under those of other rows.
const rows = [...document.querySelectorAll("article")].map((row) => [...row.querySelectorAll(".tiles a, .tiles .gap")]);
let at = null; // the link whose picture is shown

function place() {
  const row = rows.findIndex((links) => links.includes(at));
  return [row, rows[row].indexOf(at)];
}

function show(link) {
  at = link;
  const picture = link.querySelector("img");
  shown.src = link.href;
  shown.alt = caption.textContent = picture.alt;
  // As large as the window allows; small pictures grow by whole factors, so that their pixels stay square.
  const [width, height] = [Number(picture.getAttribute("width")), Number(picture.getAttribute("height"))];
  const fits = Math.min((innerWidth - 32) / width, (innerHeight - 96) / height);
  const scale = !width ? 1 : fits > 1 ? Math.floor(fits) : fits;
  shown.style.width = width ? `${Math.round(width * scale)}px` : "";
  shown.classList.toggle("tiny", scale > 1);
  if (!box.isConnected) document.body.append(box);
  if (!box.open) box.showModal();
}

function move(down, right) {
  const [row, column] = place();
  const links = rows[Math.min(Math.max(row + down, 0), rows.length - 1)];
  const wanted = Math.min(Math.max(column + right, 0), links.length - 1);
  const isLink = (one) => one.tagName === "A";
  const next = links.slice(wanted).find(isLink) ?? links.findLast(isLink);
  if (next) show(next);
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const masks = document.querySelector("button.masks");

function toggle() {
  const folds = [...document.querySelectorAll("article details")];
  const open = !folds.every((fold) => fold.open);
  for (const fold of folds) fold.open = open;
  if (masks) masks.textContent = open ? "Hide all masks" : "Show all masks";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".tiles a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // the browser's own: a new tab, a window
  event.preventDefault();
  show(link);
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "m") toggle();
  if (!box.open || !(event.key in STEPS)) return;
  event.preventDefault();
  move(...STEPS[event.key]);
});
box.addEventListener("click", () => box.close());
box.addEventListener("close", () => {
  const [fold, link] = [at.closest("details"), at];
  if (fold && !fold.open) fold.open = true; // the picture seen last is in there
  link.focus({ preventScroll: true });
  link.scrollIntoView({ block: "nearest" });
});
masks?.addEventListener("click", toggle);
for (const element of document.querySelectorAll("[hidden]")) element.hidden = false;
