// News for open pages. Everything works without it: it reads the same page again and puts in the parts that changed.
"use strict";
(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const skew = main.dataset.now ? Date.parse(main.dataset.now) - Date.now() : 0;
  let source = null;
  let reading = false;

  const words = (ms) => {
    const minutes = Math.floor(ms / 60000);
    if (minutes < 1) return "under a minute";
    const parts = [[Math.floor(minutes / 1440), "d"], [Math.floor(minutes / 60) % 24, "h"], [minutes % 60, "min"]];
    const first = parts.findIndex(([count]) => count);
    return parts.slice(first, first + 2).filter(([count]) => count).map((part) => part.join(" ")).join(" ");
  };

  const tick = () => {
    for (const one of document.querySelectorAll("[data-until]")) {
      const left = Date.parse(one.dataset.until) - Date.now() - skew;
      if (left <= 0) { delete one.dataset.until; read(); continue; }
      one.textContent = words(left) + " left";
      one.classList.toggle("soon", left < 3600000);
    }
  };

  const say = (text) => {
    const said = document.getElementById("said");
    if (!said) return;
    said.textContent = text;
    setTimeout(() => { said.textContent = ""; }, 6000);
  };

  // What somebody has begun to write is never taken away from them while it can still be sent.
  const busy = (old, now) => now.querySelector("form") !== null &&
    [...old.querySelectorAll("textarea, input:not([type=hidden])")].some((one) => one.value !== one.defaultValue || one === document.activeElement);

  const swap = (fresh) => {
    let changed = false;
    for (const old of document.querySelectorAll("[data-part]")) {
      const now = fresh.getElementById(old.id);
      if (!now) { if (old.id === "thumb-bar") { old.remove(); document.body.className = ""; changed = true; } continue; }
      if (now.textContent.trim() === old.textContent.trim() || busy(old, now)) continue;
      const open = [...old.querySelectorAll("details")].map((one) => one.open);
      now.querySelectorAll("details").forEach((one, at) => { one.open = open[at] || false; });
      if (!["glance", "clock", "budget"].includes(old.id)) changed = true;
      old.replaceWith(document.adoptNode(now));
    }
    if (changed) say("Updated just now.");
    tick();
    look();
  };

  // What the run does with an approval is no change of the request: for a minute the page asks by itself.
  const look = () => { if (document.querySelector("[data-again]") && !document.hidden) setTimeout(read, 2000); };

  const lines = (page) => [...page.querySelectorAll("a.line")].map((one) => one.getAttribute("href"));

  // A list that moves under a finger is dangerous: it only offers to be read again.
  const offer = (fresh) => {
    const known = lines(document), now = lines(fresh);
    if (known.join() === now.join() || document.getElementById("fresh")) return;
    const added = now.filter((one) => !known.includes(one)).length;
    const note = document.createElement("p"), link = document.createElement("a");
    note.id = "fresh";
    note.className = "fresh";
    note.setAttribute("role", "status");
    link.href = location.href;
    link.textContent = added ? added + " new. Show" : "The list has changed. Show";
    note.append(link);
    main.prepend(note);
  };

  const read = () => {
    if (reading) return;
    reading = true;
    const request = new XMLHttpRequest();
    request.open("GET", location.pathname + location.search);
    request.responseType = "document";
    request.onloadend = () => {
      reading = false;
      const fresh = request.response;
      if (!fresh || request.status !== 200) return;
      if (!fresh.querySelector("main[data-live]")) { location.reload(); return; }
      if (document.querySelector("[data-part]")) swap(fresh); else offer(fresh);
    };
    request.send();
  };

  const listen = () => {
    if (source) return;
    source = new EventSource(main.dataset.live);
    source.addEventListener("changed", read);
    source.addEventListener("end", (event) => {
      source.close();
      source = null;
      if (event.data === "signed_out") location.reload();
      if (event.data === "closing") setTimeout(() => { if (!document.hidden) listen(); }, 5000);
    });
  };

  // A page that nobody looks at holds no connection; back in sight, it catches up.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { read(); listen(); return; }
    if (source) source.close();
    source = null;
  });
  addEventListener("pagehide", () => { if (source) source.close(); source = null; });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  setInterval(tick, 15000);
  look();
  if (!document.hidden) listen();
})();
