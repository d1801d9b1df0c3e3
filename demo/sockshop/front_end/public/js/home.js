import "./modal.js";
import { list } from "./api.js";
import { byId, make } from "./dom.js";
import { frame } from "./frame.js";
import { fill } from "./product.js";

const TURN_AFTER = 6000;

function slider() {
  const track = byId("main-slider");
  const slides = [...track.children];
  const dots = slides.map((slide, index) =>
    make("button", { type: "button", "aria-label": `Picture ${index + 1}`, onclick: () => show(index) }));
  byId("slider-dots").append(...dots);
  const current = () => Math.round(track.scrollLeft / track.clientWidth);
  const show = (index) => track.scrollTo({ left: index * track.clientWidth, behavior: "smooth" });
  const mark = () => dots.forEach((dot, index) => dot.classList.toggle("on", index === current()));
  track.addEventListener("scroll", mark, { passive: true });
  mark();
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  let held = false;
  for (const type of ["pointerenter", "focusin"]) track.addEventListener(type, () => { held = true; });
  for (const type of ["pointerleave", "focusout"]) track.addEventListener(type, () => { held = false; });
  setInterval(() => { if (!held && !document.hidden) show((current() + 1) % slides.length); }, TURN_AFTER);
}

frame();
slider();
fill(byId("hot-slider"), list("/catalogue?size=5"));
