// Keeps the page for use without a connection. VERSION and SHELL stand before this; what is larger than the shell is kept
// when it is fetched for the first time.

const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};
const NAME = `${new URL(registration.scope).pathname} ${VERSION}`;
const OURS = `${new URL(registration.scope).pathname} `;

addEventListener("install", (event) => {
  const fresh = SHELL.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fresh)));
});

addEventListener("activate", (event) => {
  event.waitUntil(forgetOlder().then(() => clients.claim()));
});

addEventListener("message", ({ data }) => data === "activate" && skipWaiting());

addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  if (method !== "GET" || !url.startsWith(registration.scope)) return;
  const place = new URL(url).pathname.slice(new URL(registration.scope).pathname.length);
  event.respondWith(answer(event, mode === "navigate" && ["", "index.html"].includes(place)));
});

async function answer(event, page) {
  const { request } = event;
  const cache = await caches.open(NAME);
  const kept = request.cache === "reload" && !page ? undefined : await cache.match(page ? "./" : request, { ignoreSearch: page });
  if (kept) return isolated(kept);
  try {
    const fetched = await fetch(request);
    // Beside the answer, which shall show its progress and needs no room on the device.
    if (fetched.status === 200) event.waitUntil(cache.put(request, fetched.clone()).catch(() => {}));
    return isolated(fetched);
  } catch {
    return new Response("There is no connection, and this file was not kept.", { status: 504 });
  }
}

function isolated(response) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { headers, status, statusText });
}

async function forgetOlder() {
  for (const name of await caches.keys()) if (name.startsWith(OURS) && name !== NAME) await caches.delete(name);
}
