// One sock on a shelf.

import { addToCart } from "./cart.js";
import { make, money } from "./dom.js";

export function card(sock) {
  const page = `detail.html?id=${encodeURIComponent(sock.id)}`;
  const [front, back] = sock.imageUrl;
  return make("div", { class: "product" },
    make("a", { class: "picture", href: page },
      make("img", { src: front, alt: sock.name, width: 480, height: 480, loading: "lazy" }),
      back && back !== front ? make("img", { src: back, alt: "", class: "back", width: 480, height: 480, loading: "lazy" }) : null),
    make("div", { class: "text" },
      make("h3", {}, make("a", { href: page }, sock.name)),
      make("p", { class: "price" }, money(sock.price)),
      make("div", { class: "actions" },
        make("a", { class: "button quiet", href: page }, "View detail"),
        make("a", {
          class: "button", href: "#", role: "button",
          onclick: (event) => { event.preventDefault(); addToCart(sock.id, sock.name); },
        }, "Add to cart"))));
}

/** Fills a shelf, or says why it stays empty. */
export async function fill(shelf, promise, nothing = "No socks here.") {
  shelf.replaceChildren(...Array.from({ length: 3 }, () => make("div", { class: "product ghost" })));
  try {
    const socks = await promise;
    shelf.replaceChildren(...(socks.length ? socks.map(card) : [make("p", { class: "muted empty" }, nothing)]));
    return socks;
  } catch (error) {
    shelf.replaceChildren(make("p", { class: "alert error empty" }, `The catalogue did not answer as it should: ${error.message}`));
    return null;
  }
}
