// Building pages. Text from services goes in as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with attributes, listeners (names that begin with "on") and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

export const money = (amount) => `$${Number(amount).toFixed(2)}`;

export const parameter = (name) => new URLSearchParams(location.search).get(name);

/** A message in `holder`, or in the page's own place for messages. */
export function say(text, kind = "error", holder = byId("user-message")) {
  if (!holder) return toast(text, kind);
  holder.replaceChildren(make("div", { class: `alert ${kind}` }, text));
  holder.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

export function toast(text, kind = "success") {
  const note = make("div", { class: `toast alert ${kind}`, role: "status" }, text);
  document.body.append(note);
  setTimeout(() => note.remove(), 3000);
}

export function cookie(name) {
  const pair = document.cookie.split("; ").find((part) => part.startsWith(`${name}=`));
  return pair ? decodeURIComponent(pair.slice(name.length + 1)) : null;
}

export function forget(name) {
  document.cookie = `${name}=; Max-Age=0; Path=/`;
}
