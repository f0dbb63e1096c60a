// One sentence under the tabs.

const status = document.getElementById("status");

/** Show one sentence, read aloud by screen readers; an empty one takes it away. */
export function say(sentence, alert = false) {
  status.textContent = sentence;
  status.classList.toggle("alert", alert);
}
