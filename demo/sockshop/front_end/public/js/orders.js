import "./modal.js";
import { get } from "./api.js";
import { cookie, make, money, say } from "./dom.js";
import { frame } from "./frame.js";

function row(order) {
  const link = order._links.self.href.replace(/^https?:\/\/[^/]+/, "");
  const id = link.split("/").pop();
  return make("tr", {},
    make("th", {}, `# ${id}`),
    make("td", { "data-label": "Date" }, order.date.split(".")[0].replace("T", " ")),
    make("td", { class: "num", "data-label": "Total" }, `$ ${Number(order.total).toFixed(2)}`),
    make("td", { "data-label": "Status" }, make("span", { class: "label" }, "Shipped")),
    make("td", {}, make("a", { class: "button quiet", href: `customer-order.html?order=${link}` }, "View")));
}

frame();
const body = document.querySelector("#tableOrders tbody");
if (cookie("logged_in")) {
  try {
    const orders = await get("/orders");
    body.replaceChildren(...orders.map(row));
    if (!orders.length) body.append(make("tr", {}, make("td", { colspan: 5, class: "muted" }, "No orders yet.")));
  } catch (error) {
    say(`Your orders are not available: ${error.message}`);
  }
} else {
  say("Log in to see your orders.", "info");
}
