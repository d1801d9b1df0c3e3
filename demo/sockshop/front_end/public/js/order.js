import "./modal.js";
import { get } from "./api.js";
import { byId, make, money, parameter, say } from "./dom.js";
import { frame } from "./frame.js";
import { cells, sum, withSocks } from "./lines.js";

function show(order, lines) {
  const subtotal = sum(lines);
  byId("order-date").textContent = `Placed ${order.date.split(".")[0].replace("T", " ")}`;
  byId("order-items").replaceChildren(...lines.map((item) => make("tr", {}, ...cells(item, String(item.quantity)))));
  byId("orderSubtotal").textContent = money(subtotal);
  byId("orderShipping").textContent = money(order.total - subtotal);
  byId("orderGrandTotal").textContent = money(order.total);
  const { customer, address } = order;
  byId("address").textContent = [
    `${customer.firstName} ${customer.lastName}`, `${address.number} ${address.street}`, `${address.city} ${address.postcode}`, address.country,
  ].join(", ");
}

frame();
const path = parameter("order") ?? "";
byId("order-title").textContent = `Order # ${path.split("/").pop()}`;
try {
  if (!/^\/orders\/[\w-]+$/.test(path)) throw new Error(`${path || "nothing"} is no order`);
  const order = await get(path);
  show(order, await withSocks(order.items ?? []));
} catch (error) {
  say(`This order cannot be shown: ${error.message}`);
}
