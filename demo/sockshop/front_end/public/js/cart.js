// The cart: how much is in it, and putting something in.

import { get, post } from "./api.js";
import { byId, toast } from "./dom.js";

export async function refreshCount() {
  const label = byId("numItemsInCart");
  try {
    const items = await get("/cart");
    const count = Array.isArray(items) ? items.length : 0;
    label.textContent = count ? `${count} item(s) in cart` : "0 items in cart";
  } catch {
    label.textContent = "0 items in cart";
  }
}

export async function addToCart(id, name) {
  try {
    await post("/cart", { id });
    toast(`${name} is in your cart.`);
    await refreshCount();
  } catch (error) {
    toast(`The cart cannot take it right now: ${error.message}`, "error");
  }
}
