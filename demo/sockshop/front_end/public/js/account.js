// Login, registration, logout, and the greeting.

import { get, post } from "./api.js";
import { byId, cookie, forget, say } from "./dom.js";

const RELOAD_AFTER = 1500;

async function login(username, password) {
  const holder = byId("login-message");
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  try {
    await get("/login", { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` });
    say("Login successful.", "success", holder);
    setTimeout(() => location.reload(), RELOAD_AFTER);
  } catch {
    say("Invalid login credentials.", "error", holder);
  }
}

async function register(fields) {
  const holder = byId("registration-message");
  try {
    await post("/register", fields);
    say("Registration and login successful.", "success", holder);
    setTimeout(() => location.reload(), RELOAD_AFTER);
  } catch {
    say("There was a problem with your registration.", "error", holder);
  }
}

function logout() {
  forget("logged_in");
  location.reload();
}

/** Wires the top bar and greets whoever is logged in. */
export async function showCustomer() {
  byId("login-form").addEventListener("submit", (event) => {
    event.preventDefault();
    login(byId("username-modal").value, byId("password-modal").value);
  });
  byId("register-form").addEventListener("submit", (event) => {
    event.preventDefault();
    register(Object.fromEntries(new FormData(event.target)));
  });
  byId("logout-link").addEventListener("click", (event) => {
    event.preventDefault();
    logout();
  });
  const id = cookie("logged_in");
  for (const [name, shown] of [["login", !id], ["register", !id], ["howdy-item", id], ["logout", id]]) {
    byId(name).hidden = !shown;
  }
  if (!id) return;
  try {
    const customer = await get(`/customers/${encodeURIComponent(id)}`);
    if (customer.firstName || customer.lastName) {
      byId("howdy").textContent = `Logged in as ${customer.firstName} ${customer.lastName}`;
    }
  } catch {
    byId("howdy").textContent = "Logged in";
  }
}
