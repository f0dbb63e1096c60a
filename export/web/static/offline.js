// The service worker: it keeps what was fetched, for use without a connection, and gives every answer the headers that
// threads need, so that a host which cannot be told to send them serves this page as well.

const PATIENCE = 4000; // milliseconds that a visit waits for a newer version

/** Install it; may load the page again, once, when only that lets threads or a newer version take effect. */
export async function installOffline() {
  const { serviceWorker } = navigator;
  if (!serviceWorker) return; // plain http
  const controlled = Boolean(serviceWorker.controller);
  try {
    const registration = await serviceWorker.register("sw.js", { updateViaCache: "none" });
    await Promise.race([registration.update().catch(() => {}), after(PATIENCE)]); // there may be no connection, or a bad one
    const fresh = registration.installing ?? registration.waiting;
    if (fresh) await activated(fresh);
    const useful = fresh ? controlled || !crossOriginIsolated : !crossOriginIsolated && !controlled;
    if (useful && !sessionStorage.getItem("reloaded")) {
      sessionStorage.setItem("reloaded", "yes");
      location.reload();
      await new Promise(() => {}); // this page ends here
    }
    sessionStorage.removeItem("reloaded");
  } catch {
    // A private window, or a browser that keeps nothing: the page works as long as there is a connection.
  }
}

function activated(worker) {
  return new Promise((resolve) => {
    const check = () => {
      if (worker.state === "installed") worker.postMessage("activate");
      if (worker.state === "activated" || worker.state === "redundant") resolve();
    };
    worker.addEventListener("statechange", check);
    check();
  });
}

const after = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
