import "./modal.js";
import { get, post, remove } from "./api.js";
import { refreshCount } from "./cart.js";
import { byId, cookie, make, money, say } from "./dom.js";
import { frame } from "./frame.js";
import { cells, sum, withSocks } from "./lines.js";
import { close } from "./modal.js";

const SHIPPING = 4.99;
let ready = false;

function row(item) {
  const quantity = make("input", {
    type: "number", min: 1, value: item.quantity, name: item.itemId, "aria-label": "Quantity", class: "quantity",
  });
  const bin = make("button", { type: "button", class: "bin", "aria-label": "Remove", onclick: () => discard(item.itemId) }, "×");
  return make("tr", { class: "item" }, ...cells(item, quantity), make("td", {}, bin));
}

async function showCart() {
  const items = await get("/cart");
  if (!Array.isArray(items)) throw new Error(String(items?.message ?? items));
  const lines = await withSocks(items);
  const subtotal = sum(lines);
  const shipping = lines.length ? SHIPPING : 0;
  byId("cart-list").replaceChildren(...lines.map(row));
  byId("numItemsInBasket").textContent = lines.length
    ? `You have ${lines.length} item(s) in your cart.` : "You have nothing in your cart yet.";
  for (const [id, amount] of [["cartTotal", subtotal], ["orderSubtotal", subtotal], ["orderShipping", shipping], ["orderGrandTotal", subtotal + shipping]]) {
    byId(id).textContent = money(amount);
  }
  ready = lines.length > 0;
  byId("orderButton").disabled = !ready;
}

async function attempt(what, action) {
  try {
    await action();
  } catch (error) {
    say(`${what} ${error.message}`);
  }
}

const discard = (id) => attempt("Cannot remove this item.", async () => {
  await remove(`/cart/${encodeURIComponent(id)}`);
  await Promise.all([showCart(), refreshCount()]);
});

byId("updateCart").addEventListener("click", () => attempt("Cannot update the cart.", async () => {
  for (const input of document.querySelectorAll("#cart-list input.quantity")) {
    await post("/cart/update", { id: input.name, quantity: input.value });
  }
  await Promise.all([showCart(), refreshCount()]);
}));

byId("basket-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!ready) return;
  if (!cookie("logged_in")) {
    say("You must be logged in to place an order.");
    return;
  }
  const button = byId("orderButton");
  button.disabled = true;
  try {
    await post("/orders", {});
    await remove("/cart");
    location.href = "customer-orders.html";
  } catch (error) {
    say(`Error placing order. ${error.message}`);
    button.disabled = false;
  }
});

async function showAddress() {
  const address = await get("/address");
  if (address.status_code === 500) return;
  byId("address").textContent = [`${address.number} ${address.street}`, `${address.city} ${address.postcode}`, address.country].join(", ");
}

async function showCard() {
  const card = await get("/card");
  if (card.status_code === 500) return;
  byId("number").textContent = `Card ending in ${card.number}`;
}

function saver(form, path, refresh) {
  byId(form).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt("It could not be saved.", async () => {
      await post(path, Object.fromEntries(new FormData(event.target)));
      close();
      await refresh();
    });
  });
}
saver("form-address", "/addresses", showAddress);
saver("form-card", "/cards", showCard);

frame();
await Promise.allSettled([showAddress(), showCard()]);
await attempt("The cart is not available.", showCart);
