// How this server is asked, and how it says no.

/** Return the answer, or throw the sentence with which the server refused. */
export async function checked(answer) {
  if (answer.ok) return answer;
  if (answer.status === 401) location.assign("/");
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The server answered ${answer.status}.`);
}

/** Open a WebSocket of this server. */
export function open(path) {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}${path}`);
  socket.binaryType = "arraybuffer";
  let opened = false;
  socket.addEventListener("open", () => (opened = true));
  // A socket does not tell why it was denied; a request does, and leads to the sign-in where the session has ended.
  socket.addEventListener("close", () => opened || fetch("/v1/models").then(checked).catch(() => {}));
  return socket;
}
