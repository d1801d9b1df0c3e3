// Dialogs: anything with data-opens="ID" opens one, data-closes, the dark around it or Escape closes it.

import { byId } from "./dom.js";

let opener = null;

export function open(id) {
  close(false);
  const modal = byId(id);
  if (!modal) return;
  opener = document.activeElement;
  modal.classList.add("in");
  modal.setAttribute("aria-hidden", "false");
  document.body.classList.add("modal-open");
  modal.querySelector("input")?.focus();
}

export function close(back = true) {
  for (const modal of document.querySelectorAll(".modal.in")) {
    modal.classList.remove("in");
    modal.setAttribute("aria-hidden", "true");
  }
  document.body.classList.remove("modal-open");
  if (back) opener?.focus();
}

document.addEventListener("click", (event) => {
  const door = event.target.closest("[data-opens]");
  if (door) {
    event.preventDefault();
    open(door.dataset.opens);
  } else if (event.target.closest("[data-closes]") || event.target.classList.contains("modal")) {
    close();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});
