// The lines of a cart or an order: an item with the name and picture that the catalogue has for it.

import { get } from "./api.js";
import { make, money } from "./dom.js";

export async function withSocks(items) {
  return Promise.all(items.map(async (item) => {
    try {
      const sock = await get(`/catalogue/${encodeURIComponent(item.itemId)}`);
      return { ...item, sock: sock.id ? sock : null };
    } catch {
      return { ...item, sock: null };
    }
  }));
}

export const sum = (items) => items.reduce((total, item) => total + item.quantity * item.unitPrice, 0);

/** The cells that a cart and an order share; `quantity` is the content of its cell. */
export function cells(item, quantity) {
  const page = `detail.html?id=${encodeURIComponent(item.itemId)}`;
  return [
    make("td", { class: "thumb" }, item.sock ? make("img", { src: item.sock.imageUrl[0], alt: "", width: 96, height: 96 }) : ""),
    make("td", { class: "name" }, make("a", { href: page }, item.sock?.name ?? item.itemId)),
    make("td", { "data-label": "Quantity" }, quantity),
    make("td", { class: "num", "data-label": "Unit price" }, money(item.unitPrice)),
    make("td", { class: "num", "data-label": "Total" }, money(item.quantity * item.unitPrice)),
  ];
}
