// What stands around every page: top bar, navigation and footer, fetched as pieces of HTML.

import { refreshCount } from "./cart.js";
import { byId } from "./dom.js";
import { showCustomer } from "./account.js";

async function load(id) {
  const response = await fetch(`${id}.html`);
  byId(id).innerHTML = await response.text();
}

function markTab() {
  const here = location.pathname.replace(/^\/$/, "/index.html");
  for (const link of document.querySelectorAll("#navigation a")) {
    link.parentElement.classList.toggle("active", new URL(link.href).pathname === here);
  }
}

/** Loads the frame; what fails of it leaves the page usable. */
export async function frame() {
  const footer = load("footer");
  await Promise.all([
    load("topbar").then(showCustomer),
    load("navbar").then(() => {
      markTab();
      return refreshCount();
    }),
    footer,
  ]);
}
