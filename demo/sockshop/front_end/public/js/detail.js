import "./modal.js";
import { get, list } from "./api.js";
import { addToCart } from "./cart.js";
import { byId, make, money, parameter, say } from "./dom.js";
import { frame } from "./frame.js";
import { fill } from "./product.js";

const id = parameter("id") ?? "";

function show(sock) {
  document.title = "WeaveSocks";
  for (const name of ["title", "breadcrumb"]) byId(name).textContent = sock.name;
  byId("price").textContent = money(sock.price);
  byId("description").textContent = sock.description;
  byId("stock").textContent = sock.count > 0 ? `${sock.count} in stock` : "Out of stock";
  byId("tags").replaceChildren(...sock.tag.map((tag) =>
    make("a", { href: `category.html?tags=${encodeURIComponent(tag)}` }, tag)));
  const picture = byId("mainImage");
  const turn = (url) => { picture.src = url; picture.alt = sock.name; };
  turn(sock.imageUrl[0]);
  const urls = [...new Set(sock.imageUrl)];
  byId("thumbs").replaceChildren(...(urls.length > 1 ? urls : []).map((url) =>
    make("button", { type: "button", onclick: () => turn(url) }, make("img", { src: url, alt: "Other view", width: 96, height: 96 }))));
  byId("buttonCart").addEventListener("click", (event) => {
    event.preventDefault();
    addToCart(sock.id, sock.name);
  });
}

frame();
try {
  const sock = await get(`/catalogue/${encodeURIComponent(id)}`);
  if (!sock.id) throw new Error(sock.error ?? String(sock));
  show(sock);
  const related = list(`/catalogue?size=4&tags=${encodeURIComponent(sock.tag.join(","))}`);
  fill(byId("related"), related.then((socks) => socks.filter((other) => other.id !== sock.id).slice(0, 3)));
} catch (error) {
  byId("title").textContent = "No such sock";
  byId("buttonCart").hidden = true;
  say(`This sock cannot be shown: ${error.message}`);
}
