"use strict";
// Steps forward and backward through the articles, and lights up in the picture what the step is about.
const steps = [...document.querySelectorAll("article")];
const where = document.getElementById("where");
const all = document.getElementById("all");
let now = 0;
let stepping = true;

function show(index) {
  now = Math.min(Math.max(index, 0), steps.length - 1);
  document.body.classList.toggle("stepping", stepping);
  const [own, used] = [steps[now].dataset.own, steps[now].dataset.used].map((names) => new Set(names.split(" ")));
  steps.forEach((step, i) => step.classList.toggle("now", i === now));
  for (const part of document.querySelectorAll("[data-at]")) {
    const names = part.dataset.at.split(" ");
    part.classList.toggle("on", stepping && names.some((name) => own.has(name)));
    part.classList.toggle("used", stepping && names.some((name) => used.has(name)));
  }
  for (const part of document.querySelectorAll("[data-from]")) {
    part.classList.toggle("later", stepping && Number(part.dataset.from) > now);
  }
  where.textContent = stepping ? `step ${now + 1} of ${steps.length}` : `${steps.length} steps`;
  all.textContent = stepping ? "all steps" : "one by one";
}

document.querySelector("nav").hidden = false;
document.getElementById("back").addEventListener("click", () => show(now - 1));
document.getElementById("on").addEventListener("click", () => show(now + 1));
all.addEventListener("click", () => { stepping = !stepping; show(now); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: steps.length - 1 }[event.key];
  if (to === undefined || !stepping) return;
  event.preventDefault();
  show(to);
});
if (steps.length) show(0);
