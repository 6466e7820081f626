// Tells of new messages, and changes how the opened one is shown. The page works without it.
"use strict";
const total = Number(document.body.dataset.total);
const news = document.getElementById("news");

async function look() {
  try {
    const now = (await (await fetch("/messages/count")).json()).total;
    if (now === total) return;
    if (!news || total === 0) return location.reload();
    const more = now - total;
    news.textContent = more > 0 ? `${more.toLocaleString("en")} new · show` : "the inbox has changed · show";
    news.hidden = false;
  } catch { /* the sandbox was stopped: nothing to tell */ }
}
setInterval(look, 3000);

const frame = document.querySelector(".html iframe");
document.getElementById("images")?.addEventListener("click", (press) => {
  frame.src = press.target.dataset.src;
  press.target.disabled = true;
});
document.getElementById("narrow")?.addEventListener("click", (press) => {
  press.target.setAttribute("aria-pressed", frame.classList.toggle("narrow"));
});
document.getElementById("empty")?.addEventListener("click", async () => {
  if (!confirm("Forget every message in this sandbox?")) return;
  await fetch("/sandbox/empty", { method: "POST", headers: { "X-Sandbox": "empty" } });
  location.assign("/");
});
