// Calls to the front-end. Its JSON carries no Content-Type, so the text is parsed here and nowhere else.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const text = await response.text();
  let value = text;
  try {
    value = JSON.parse(text);
  } catch {
    // A proxy's own words, such as "upstream connect error": kept as text.
  }
  if (!response.ok) {
    throw new ApiError(response.status, (value && value.message) || text || response.statusText);
  }
  return value;
}

export const get = (path, headers) => call("GET", path, undefined, headers);
export const post = (path, body) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);

/** A list from the catalogue: `null` means that nothing matched, text that the catalogue is in trouble. */
export async function list(path) {
  const value = await get(path);
  if (value === null) return [];
  if (!Array.isArray(value)) {
    throw new ApiError(200, (value && value.error) || String(value && value.message ? value.message : value));
  }
  return value;
}
