// Loads the page anew every few seconds while something runs. All works without it.
"use strict";
(() => {
  const every = 3000;
  const box = document.getElementById("refresh");
  const note = box.closest(".refresh");
  note.hidden = false;

  // What has the focus keeps it: it is found again by where it leads, or by its place.
  const mark = (element) => element && (element.getAttribute("href") || element.id || "");

  const busy = () => {
    const active = document.activeElement;
    const chosen = String(window.getSelection() || "");
    return !box.checked || document.hidden || chosen || (active && active.form);
  };

  const refresh = async () => {
    if (busy()) return true;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return true;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const old = document.getElementById("main");
    const main = fresh.getElementById("main");
    if (!main || busy()) return true;
    const inside = old.contains(document.activeElement) ? mark(document.activeElement) : "";
    old.replaceWith(document.adoptNode(main));
    if (inside) {
      const all = main.querySelectorAll("a, [tabindex]");
      [...all].find((element) => mark(element) === inside)?.focus({ preventScroll: true });
    }
    return Boolean(fresh.getElementById("refresh"));
  };

  const again = async () => {
    let more = true;
    try {
      more = await refresh();
    } catch {
      more = true; // the server may be back soon
    }
    if (more) setTimeout(again, every);
    else note.hidden = true;
  };
  setTimeout(again, every);
})();
