import "./modal.js";
import { get, list } from "./api.js";
import { byId, make, parameter } from "./dom.js";
import { frame } from "./frame.js";
import { fill } from "./product.js";

const whole = (name, otherwise) => Math.max(1, Number.parseInt(parameter(name) ?? "", 10) || otherwise);
const page = whole("page", 1);
const size = whole("size", 6);
const tags = (parameter("tags") ?? "").split(",").filter(Boolean);

function address(changes) {
  const query = new URLSearchParams({ page, size, tags: tags.join(","), ...changes });
  if (!query.get("tags")) query.delete("tags");
  return `category.html?${query}`;
}

async function showFilters() {
  const holder = byId("filters");
  const answer = await get("/tags");
  holder.replaceChildren(...(answer.tags ?? []).map((tag) =>
    make("label", {}, make("input", { type: "checkbox", name: "tag", value: tag, checked: tags.includes(tag) }), ` ${tag}`)));
}

async function showCount(shown) {
  const answer = await get(`/catalogue/size?tags=${encodeURIComponent(tags.join(","))}`);
  const total = Number(answer.size) || 0;
  byId("totalProducts").textContent = `Showing ${shown} of ${total} products`;
  const pages = Math.ceil(total / size);
  byId("pagination").replaceChildren(...Array.from({ length: pages > 1 ? pages : 0 }, (_, index) =>
    make("li", { class: index + 1 === page ? "active" : "" }, make("a", { href: address({ page: index + 1 }) }, String(index + 1)))));
}

byId("filters-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = new FormData(event.target).getAll("tag");
  location.href = address({ page: 1, tags: chosen.join(",") });
});
for (const link of document.querySelectorAll("#products-number a")) {
  link.href = address({ page: 1, size: link.dataset.size });
  link.classList.toggle("on", Number(link.dataset.size) === size);
}

frame();
showFilters().catch(() => byId("filters").replaceChildren("The tags are not available."));
const query = new URLSearchParams({ page, size, tags: tags.join(",") });
const socks = await fill(byId("products"), list(`/catalogue?${query}`), "No socks like that.");
await showCount(socks?.length ?? 0).catch(() => { byId("totalProducts").textContent = "The catalogue is not available."; });
