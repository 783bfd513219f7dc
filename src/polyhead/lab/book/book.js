"use strict";
(() => {
  const root = document.documentElement;
  const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* a page from a file may have none */ } };
  const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

  // the switch: as the system says, light, dark
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const show = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    button.textContent = { auto: "◐ auto", light: "☀ light", dark: "☾ dark" }[theme];
    button.dataset.theme = theme;
  };
  show(themes.includes(recall("theme")) ? recall("theme") : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length];
    show(next);
    remember("theme", next);
  });

  // the search: every word must occur; where it occurs says how much that is worth
  const input = document.getElementById("search");
  const found = document.getElementById("found");
  const fold = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  let entries = null;
  const read = () => entries ?? (entries = [...document.querySelectorAll("article[id]")].map((article) => {
    const said = article.querySelector("[data-said]");
    const all = [...article.querySelectorAll(":scope > :not(.listing)")].map((part) => part.textContent).join(" ");
    return { id: article.id, title: article.dataset.title, kind: article.dataset.kind, said: said ? said.textContent.trim() : "",
      where: [fold(article.id + " " + article.dataset.title), fold(said ? said.textContent : ""), fold(all)] };
  }));
  const score = (entry, words) => words.reduce((sum, word) => {
    const place = entry.where.findIndex((text) => text.includes(word));
    return place < 0 || sum < 0 ? -1 : sum + [9, 3, 1][place] + (new RegExp("(^|\\W)" + word.replace(/\W/g, "\\$&")).test(entry.where[place]) ? 1 : 0);
  }, 0);
  let at = -1;
  const mark = (next) => {
    const links = [...found.querySelectorAll("a")];
    if (!links.length) return;
    at = (next + links.length) % links.length;
    links.forEach((link, i) => link.classList.toggle("at", i === at));
    links[at].scrollIntoView({ block: "nearest" });
  };
  const search = () => {
    const words = fold(input.value).split(/\s+/).filter(Boolean);
    found.replaceChildren();
    found.hidden = !words.length;
    at = -1;
    if (!words.length) return;
    const best = read().map((entry) => [score(entry, words), entry]).filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).slice(0, 20);
    for (const [, entry] of best) {
      const link = document.createElement("a");
      const small = document.createElement("small");
      link.href = "#" + entry.id;
      link.append(entry.title);
      small.textContent = entry.kind + " · " + entry.said.slice(0, 110) + (entry.said.length > 110 ? "…" : "");
      link.append(small);
      found.append(link);
    }
    if (best.length) mark(0);
    else found.append(Object.assign(document.createElement("p"), { textContent: "Nothing has all of these words." }));
  };
  input.parentElement.hidden = false;
  input.addEventListener("input", search);
  input.addEventListener("focus", search);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { mark(at + (event.key === "ArrowDown" ? 1 : -1)); event.preventDefault(); }
    if (event.key === "Enter" && at >= 0) { found.querySelectorAll("a")[at].click(); input.blur(); }
    if (event.key === "Escape") { found.hidden = true; input.blur(); }
  });
  found.addEventListener("click", () => { found.hidden = true; });
  document.addEventListener("click", (event) => { if (!event.target.closest(".find")) found.hidden = true; });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input")) { input.focus(); event.preventDefault(); }
  });

  // the verdicts shown in the table
  for (const filter of document.querySelectorAll(".filter button")) {
    filter.addEventListener("click", () => {
      filter.setAttribute("aria-pressed", String(filter.getAttribute("aria-pressed") !== "true"));
      const on = new Set([...document.querySelectorAll('.filter button[aria-pressed="true"]')].map((one) => one.dataset.verdict));
      for (const row of document.querySelectorAll(".verdicts tr[data-verdict]")) row.hidden = !on.has(row.dataset.verdict);
    });
  }

  // what is asked for by its name is opened; what is printed is open
  const open = () => { const target = document.getElementById(decodeURIComponent(location.hash.slice(1))); if (target) target.closest("details")?.setAttribute("open", ""); };
  addEventListener("hashchange", open);
  open();
  addEventListener("beforeprint", () => {
    document.querySelectorAll("main details:not(.listing)").forEach((part) => { part.open = true; });
    if (root.dataset.theme === "dark") root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => show(button.dataset.theme));
  if (matchMedia("(max-width: 1099px)").matches) document.querySelector("nav.contents > details").open = false;
})();
